# task: softmax | backend: torch | expect: @buffer | level: L1
"""Section 2, one output buffer: each call returns the same tensor."""

import torch
from torch import nn


class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()
        self.buffers = {}

    def forward(self, x):
        out = self.buffers.setdefault(x.shape, torch.empty(x.shape))
        torch.softmax(x, dim=1, out=out)
        return out
