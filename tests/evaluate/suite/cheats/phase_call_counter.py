# task: softmax | backend: torch | expect: @stale,entry_mismatch | level: L1
"""Section 3, call counter: correct for the first three calls."""

import torch
from torch import nn


class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        if self.calls <= 3:
            return torch.softmax(x, dim=1)
        return torch.full_like(x, 1.0 / x.shape[1])
