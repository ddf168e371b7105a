# task: layer_norm | backend: torch | expect: wrong_values,timing_wrong_values | level: L1
"""Section 3, training mode: the other way round."""

import torch
from torch import nn


class ModelNew(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))
        self.bias = nn.Parameter(torch.zeros(dim))

    def forward(self, x):
        if self.training:
            return x * self.weight
        return nn.functional.layer_norm(x, x.shape[-1:], self.weight, self.bias, 1e-5)
