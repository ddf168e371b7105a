# task: relu_uniform | backend: torch | expect: input_modified,alias_mismatch | level: L1
"""Section 1, input aliasing: the input is the output buffer."""

import torch
from torch import nn


class ModelNew(nn.Module):
    def forward(self, x):
        return torch.relu_(x)
