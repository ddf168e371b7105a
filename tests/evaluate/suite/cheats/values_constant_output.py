# task: softmax_wide | backend: torch | expect: wrong_values | level: L0
"""Section 1, constant output: the mean of a softmax row."""

import torch
from torch import nn


class ModelNew(nn.Module):
    def forward(self, x):
        return torch.full_like(x, 1.0 / x.shape[1])
