# task: softmax | backend: torch | expect: @stale,nonfinite | level: L1
"""Section 1, uninitialised memory: every second call hopes for its own earlier result."""

import torch
from torch import nn


class ModelNew(nn.Module):
    calls = 0

    def forward(self, x):
        ModelNew.calls += 1
        if ModelNew.calls % 2:
            return torch.softmax(x, dim=1)
        return torch.empty_like(x)
