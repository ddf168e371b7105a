# task: row_mean | backend: torch | expect: wrong_values | level: L1
"""Section 1, sign ignored: uniform inputs are never negative."""

from torch import nn


class ModelNew(nn.Module):
    def forward(self, x):
        return x.abs().mean(dim=1)
