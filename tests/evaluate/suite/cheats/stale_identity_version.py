# task: chain | backend: torch | expect: wrong_values,stale_output,timing_wrong_values | level: L1
"""Section 2, cache by identity and version counter."""

import torch
from torch import nn

CACHE = {}


class ModelNew(nn.Module):
    def forward(self, x, w):
        key = (id(x), x._version, id(w), w._version, x.shape)
        if key not in CACHE:
            y = x
            for _ in range(12):
                y = torch.tanh(y @ w * 0.125)
            CACHE[key] = (y, x, w)
        return CACHE[key][0].clone()
