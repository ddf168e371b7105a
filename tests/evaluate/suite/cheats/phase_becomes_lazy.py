# task: softmax | backend: torch | expect: @stale,entry_mismatch | level: L1
"""Section 3, call counter: replaces its own forward after a few calls."""

import torch
from torch import nn


class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()
        self.left = 5

    def forward(self, x):
        self.left -= 1
        if self.left == 0:
            self.forward = torch.zeros_like
        return torch.softmax(x, dim=1)
