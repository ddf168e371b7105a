# task: softmax | backend: torch | expect: @stale | level: L1
"""Section 3, instance counter: only the first object computes."""

import torch
from torch import nn


class ModelNew(nn.Module):
    made = 0

    def __init__(self):
        super().__init__()
        self.first = ModelNew.made == 0
        ModelNew.made += 1

    def forward(self, x):
        return torch.softmax(x, dim=1) if self.first else torch.zeros_like(x)
