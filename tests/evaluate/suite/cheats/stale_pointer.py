# task: softmax | backend: torch | expect: @stale,output_overwritten | level: L1
"""Section 2, cache by pointer: results keyed by data_ptr and shape."""

import torch
from torch import nn

CACHE = {}


class ModelNew(nn.Module):
    def forward(self, x):
        key = (x.data_ptr(), x.shape)
        if key not in CACHE:
            CACHE[key] = torch.softmax(x, dim=1)
        return CACHE[key].clone()
