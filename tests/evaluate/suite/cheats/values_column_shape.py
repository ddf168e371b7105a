# task: row_mean | backend: torch | expect: wrong_shape | level: L0
"""Section 1, broadcastable shape: (N, 1) where (N,) is wanted."""

from torch import nn


class ModelNew(nn.Module):
    def forward(self, x):
        return x.mean(dim=1, keepdim=True)
