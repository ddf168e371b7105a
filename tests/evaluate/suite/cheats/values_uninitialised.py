# task: softmax | backend: torch | expect: wrong_values,nonfinite,not_repeatable | level: L1
"""Section 1, uninitialised memory: hopes for the freed block of the reference's result."""

import torch
from torch import nn


class ModelNew(nn.Module):
    def forward(self, x):
        return torch.empty_like(x)
