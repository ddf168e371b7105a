# task: layer_norm | backend: torch | expect: wrong_values,alias_mismatch | level: L0
"""Section 1, identity: normal rows are nearly normalised already."""

import torch
from torch import nn


class ModelNew(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))
        self.bias = nn.Parameter(torch.zeros(dim))

    def forward(self, x):
        return x * self.weight + self.bias
