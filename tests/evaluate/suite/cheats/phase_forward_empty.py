# task: softmax | backend: torch | expect: entry_mismatch,wrong_values,patched | level: L1
"""Section 3, entry point split: the object's call is right, its forward is not."""

import torch
from torch import nn


class ModelNew(nn.Module):
    def __call__(self, x):
        return torch.softmax(x, dim=1)

    def forward(self, x):
        return torch.zeros_like(x)
