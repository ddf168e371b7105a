# task: softmax | backend: torch | expect: wrong_values,stale_output,timing_wrong_values | level: L1
"""Section 2, cache by fingerprint: every 97th element and the corners."""

import torch
from torch import nn

CACHE = {}


class ModelNew(nn.Module):
    def forward(self, x):
        flat = x.reshape(-1)
        key = (x.shape, tuple(flat[::97].tolist()), flat[-1].item())
        if key not in CACHE:
            CACHE[key] = torch.softmax(x, dim=1)
        return CACHE[key].clone()
