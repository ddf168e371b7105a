# task: matmul | backend: torch | expect: wrong_values,stale_output,timing_wrong_values | level: L1
"""Section 2, cache by fingerprint: the first row of each operand."""

from torch import nn

CACHE = {}


class ModelNew(nn.Module):
    def forward(self, a, b):
        key = (tuple(a[0].tolist()), tuple(b[0].tolist()), a.shape, b.shape)
        if key not in CACHE:
            CACHE[key] = a @ b
        return CACHE[key].clone()
