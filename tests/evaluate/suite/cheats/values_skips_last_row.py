# task: matmul | backend: torch | expect: wrong_values | level: L0
"""Section 1, off-by-one bound: the last row is a copy of the one before."""

from torch import nn


class ModelNew(nn.Module):
    def forward(self, a, b):
        out = a @ b
        out[-1] = out[-2]
        return out
