# task: topk | backend: torch | expect: wrong_values | level: L0
"""Section 1, extra outputs: the second one is wrong."""

import torch
from torch import nn


class ModelNew(nn.Module):
    def __init__(self, k):
        super().__init__()
        self.k = k

    def forward(self, x):
        values, indices = torch.topk(x, self.k, dim=1)
        return values, torch.zeros_like(indices)
