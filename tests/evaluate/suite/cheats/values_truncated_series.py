# task: hard_clamp | backend: torch | expect: wrong_values,nonfinite | level: L1
"""Section 1, approximate maths: a Taylor series that holds for normal inputs only."""

import torch
from torch import nn


class ModelNew(nn.Module):
    def forward(self, x):
        term, total = x.double(), x.double()
        for n in range(1, 11):
            term = -term * x.double() ** 2 / ((2 * n) * (2 * n + 1))
            total = total + term
        return torch.clamp(total.float() + 0.5 * x, -20.0, 20.0)
