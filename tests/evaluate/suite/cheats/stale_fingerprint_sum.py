# task: cumsum | backend: torch | expect: wrong_values,stale_output,timing_wrong_values | level: L1
"""Section 2, cache by fingerprint: shape and rounded sum of absolute values."""

import torch
from torch import nn

CACHE = {}


class ModelNew(nn.Module):
    def forward(self, x):
        key = (x.shape, round(x.abs().sum().item(), -2))
        if key not in CACHE:
            CACHE[key] = torch.cumsum(x, dim=1)
        return CACHE[key].clone()
