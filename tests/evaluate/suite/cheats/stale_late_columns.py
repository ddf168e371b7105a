# task: cumsum | backend: torch | expect: wrong_values,stale_output,timing_wrong_values | level: L1
"""Section 2, fingerprint of all but the last tenth of the columns."""

import torch
from torch import nn

CACHE = {}


class ModelNew(nn.Module):
    def forward(self, x):
        head = x[:, : x.shape[1] - x.shape[1] // 10].contiguous()
        key = (x.shape, head.numpy().tobytes())
        if key not in CACHE:
            CACHE[key] = torch.cumsum(x, dim=1)
        return CACHE[key].clone()
