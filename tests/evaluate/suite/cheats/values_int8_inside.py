# task: matmul | backend: torch | expect: wrong_values | level: L1
"""Section 1, precision downgrade: 8-bit quantised operands."""

import torch
from torch import nn


def quantise(x):
    scale = x.abs().amax().clamp_min(1e-30) / 127
    return torch.round(x / scale), scale


class ModelNew(nn.Module):
    def forward(self, a, b):
        qa, sa = quantise(a)
        qb, sb = quantise(b)
        return (qa @ qb) * (sa * sb)
