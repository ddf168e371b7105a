# task: scatter | backend: torch | expect: wrong_values | level: L1
"""Section 1, ignores part of the input: the destination is all zeros in the problem."""

import torch
from torch import nn


class ModelNew(nn.Module):
    def forward(self, target, index, source):
        return torch.zeros_like(target).index_add_(0, index, source)
