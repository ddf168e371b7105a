# task: chain | backend: torch | expect: @stale | level: L1 | needs: timing
"""Section 3, timing phase: correct in the first half second of its life."""

import time

import torch
from torch import nn

BORN = time.monotonic()


class ModelNew(nn.Module):
    def forward(self, x, w):
        if time.monotonic() - BORN > 0.5:
            return torch.zeros_like(x)
        for _ in range(12):
            x = torch.tanh(x @ w * 0.125)
        return x
