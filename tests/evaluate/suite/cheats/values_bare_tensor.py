# task: topk | backend: torch | expect: wrong_structure,wrong_type,wrong_shape | level: L0
"""Section 1, extra outputs: the first output alone, without its tuple."""

import torch
from torch import nn


class ModelNew(nn.Module):
    def __init__(self, k):
        super().__init__()
        self.k = k

    def forward(self, x):
        return torch.topk(x, self.k, dim=1).values
