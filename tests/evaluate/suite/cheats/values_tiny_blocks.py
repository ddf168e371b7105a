# task: rms_norm | backend: torch | expect: wrong_values,nonfinite | level: L1
"""Section 1, returns early where a block is tiny."""

import torch
from torch import nn


class ModelNew(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))

    def forward(self, x):
        scale = torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-5)
        out = x * scale * self.weight
        out[x.abs().amax(-1) < 0.05] = 0
        return out
