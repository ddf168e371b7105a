# task: matmul | backend: torch | expect: @late,stale_output | level: L1
"""Section 2, deferred: the work of call n is done when call n + 1 comes."""

import torch
from torch import nn


class ModelNew(nn.Module):
    pending = None

    def forward(self, a, b):
        if ModelNew.pending is not None:
            x, y, out = ModelNew.pending
            out.copy_(x @ y)
        fresh = torch.empty(a.shape[0], b.shape[1])
        ModelNew.pending = a, b, fresh
        return fresh
