# task: row_mean | backend: torch | expect: wrong_values | level: L1
"""Section 1, skips work by size: the mean of every second column."""

from torch import nn


class ModelNew(nn.Module):
    def forward(self, x):
        return x[:, ::2].mean(dim=1)
