# task: softmax | backend: torch | expect: @buffer | level: L1
"""Section 2, one output buffer: a new tensor object over the same storage each time."""

import torch
from torch import nn


class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()
        self.pool = torch.empty(1 << 20)

    def forward(self, x):
        out = self.pool[: x.numel()].view(x.shape)
        out.copy_(torch.softmax(x, dim=1))
        return out
