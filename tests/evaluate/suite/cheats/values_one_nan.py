# task: matmul | backend: torch | expect: nonfinite,wrong_values | level: L0
"""Section 1, NaN fill: a single one, in the middle."""

from torch import nn


class ModelNew(nn.Module):
    def forward(self, a, b):
        out = a @ b
        out.view(-1)[out.numel() // 2] = float("nan")
        return out
