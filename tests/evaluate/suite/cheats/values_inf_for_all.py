# task: masked_fill | backend: torch | expect: nonfinite,wrong_values | level: L0
"""Section 1, infinities: -inf everywhere makes every difference infinite or NaN."""

import torch
from torch import nn


class ModelNew(nn.Module):
    def forward(self, x, mask):
        return torch.full_like(x, float("-inf"))
