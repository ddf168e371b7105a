# task: layer_scale | backend: torch | expect: wrong_values,alias_mismatch | level: L0
"""Section 1, drops a branch that a layer scale of 1e-6 hides."""

import torch
from torch import nn


class ModelNew(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.linear = nn.Linear(dim, dim)
        self.gamma = nn.Parameter(torch.full((dim,), 1e-6))

    def forward(self, x):
        return x.clone()
