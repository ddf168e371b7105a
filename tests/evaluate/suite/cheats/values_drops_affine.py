# task: layer_norm | backend: torch | expect: wrong_values | level: L0
"""Section 1, drops parameters: weight 1 and bias 0 at the start."""

import torch
from torch import nn


class ModelNew(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))
        self.bias = nn.Parameter(torch.zeros(dim))

    def forward(self, x):
        return nn.functional.layer_norm(x, x.shape[-1:])
