# task: masked_fill | backend: torch | expect: nonfinite,wrong_values | level: L0
"""Section 1, infinities: the wrong sign."""

from torch import nn


class ModelNew(nn.Module):
    def forward(self, x, mask):
        return (x * 0.125).masked_fill(mask, float("inf"))
