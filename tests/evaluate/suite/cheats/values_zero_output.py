# task: softmax_wide | backend: torch | expect: wrong_values | level: L0
"""Section 1, constant or zero output: every value is below a bare absolute tolerance."""

import torch
from torch import nn


class ModelNew(nn.Module):
    def forward(self, x):
        return torch.zeros_like(x)
