# task: layer_norm | backend: torch | level: L1 | needs: backward
# | expect: wrong_gradient,wrong_values,runtime_error
"""Right forward, but the graph is cut: weight and input get no gradient."""

import torch
from torch import nn


class ModelNew(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))
        self.bias = nn.Parameter(torch.zeros(dim))

    def forward(self, x):
        y = nn.functional.layer_norm(x, x.shape[-1:], self.weight, self.bias, 1e-5)
        return y.detach() + self.bias - self.bias.detach()
