# task: softmax | backend: torch | expect: nonfinite,wrong_values | level: L0
"""Section 1, NaN fill: `abs(a - b) > tol` is false for NaN."""

import torch
from torch import nn


class ModelNew(nn.Module):
    def forward(self, x):
        return torch.full_like(x, float("nan"))
