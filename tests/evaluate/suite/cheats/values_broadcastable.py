# task: softmax_wide | backend: torch | expect: wrong_shape | level: L0
"""Section 1, broadcastable shape: one element that compares with all."""

from torch import nn


class ModelNew(nn.Module):
    def forward(self, x):
        return x.new_full((1,), 1.0 / x.shape[1])
