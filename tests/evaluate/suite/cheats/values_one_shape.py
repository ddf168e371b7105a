# task: softmax | backend: torch | expect: wrong_values,runtime_error,wrong_shape | level: L1
"""Section 1, one shape only: right for the problem's own sizes, zeros elsewhere."""

import torch
from torch import nn


class ModelNew(nn.Module):
    def forward(self, x):
        if x.shape == (64, 257):
            return torch.softmax(x, dim=1)
        return torch.zeros_like(x)
