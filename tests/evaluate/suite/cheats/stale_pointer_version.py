# task: softmax | backend: torch | expect: wrong_values,stale_output,timing_wrong_values | level: L1
"""Section 2, cache by pointer and version counter; keeps the inputs so that nothing is reused."""

import torch
from torch import nn

CACHE = {}


class ModelNew(nn.Module):
    def forward(self, x):
        key = (x.data_ptr(), x._version, x.shape, x.stride())
        if key not in CACHE:
            CACHE[key] = (torch.softmax(x, dim=1), x)
        return CACHE[key][0].clone()
