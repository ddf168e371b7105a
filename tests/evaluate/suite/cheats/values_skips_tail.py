# task: softmax | backend: torch | expect: wrong_values,nonfinite | level: L0
"""Section 1, skips work by size: the last columns are left at zero."""

import torch
from torch import nn


class ModelNew(nn.Module):
    def forward(self, x):
        out = torch.zeros_like(x)
        width = x.shape[1] // 64 * 64
        out[:, :width] = torch.softmax(x, dim=1)[:, :width]
        return out
