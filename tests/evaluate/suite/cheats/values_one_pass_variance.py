# task: layer_norm | backend: torch | expect: wrong_values,nonfinite | level: L1
"""Section 1, unstable algorithm: E[x^2] - E[x]^2 in float32."""

import torch
from torch import nn


class ModelNew(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))
        self.bias = nn.Parameter(torch.zeros(dim))

    def forward(self, x):
        mean = x.mean(-1, keepdim=True)
        var = ((x * x).mean(-1, keepdim=True) - mean * mean).clamp_min(0)
        return (x - mean) * torch.rsqrt(var + 1e-5) * self.weight + self.bias
