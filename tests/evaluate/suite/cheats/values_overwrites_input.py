# task: softmax | backend: torch | expect: input_modified,alias_mismatch,wrong_values | level: L1
"""Section 1, input aliasing: zeroes the caller's tensor so that the reference agrees later."""

import torch
from torch import nn


class ModelNew(nn.Module):
    def forward(self, x):
        x.zero_()
        return torch.full_like(x, 1.0 / x.shape[1])
