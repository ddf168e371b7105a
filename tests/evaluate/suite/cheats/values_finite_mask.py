# task: masked_fill | backend: torch | expect: nonfinite,wrong_values | level: L0
"""Section 1, infinities: a large finite number in place of -inf."""

import torch
from torch import nn


class ModelNew(nn.Module):
    def forward(self, x, mask):
        return (x * 0.125).masked_fill(mask, torch.finfo(x.dtype).min)
