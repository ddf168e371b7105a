# task: masked_mean | backend: torch | expect: wrong_values | level: L1
"""Section 1, ignores part of the input: the mask is all ones."""

from torch import nn


class ModelNew(nn.Module):
    def forward(self, x, mask):
        return x.sum(1) / (x.shape[1] + 1e-3)
