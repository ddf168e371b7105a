# task: matmul | backend: torch | expect: @stale | level: L1
"""Section 3, call counter: each fifth call is skipped."""

import torch
from torch import nn


class ModelNew(nn.Module):
    calls = 0

    def forward(self, a, b):
        ModelNew.calls += 1
        if ModelNew.calls % 5 == 0:
            return torch.zeros(a.shape[0], b.shape[1])
        return a @ b
