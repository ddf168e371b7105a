# task: matmul | backend: torch | expect: wrong_values | level: L0
"""Section 1, one wrong element among thousands: sampling would miss it."""

from torch import nn


class ModelNew(nn.Module):
    def forward(self, a, b):
        out = a @ b
        out[out.shape[0] // 3, out.shape[1] // 3] *= 0.99
        return out
