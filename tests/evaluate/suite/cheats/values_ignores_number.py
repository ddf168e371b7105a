# task: scaled_bias | backend: torch | expect: wrong_values | level: L0
"""Section 1, ignores an input that is always the same number."""

import torch
from torch import nn


class ModelNew(nn.Module):
    def __init__(self, cols, power):
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(cols))
        self.power = power

    def forward(self, x, alpha):
        return 0.75 * x.abs().pow(self.power) + self.bias
