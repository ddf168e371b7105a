# task: softmax | backend: torch | expect: entry_mismatch,wrong_values,patched | level: L1
"""Section 3, entry point split: forward is right, the object's call is not."""

import torch
from torch import nn


class ModelNew(nn.Module):
    def __call__(self, x):
        return torch.zeros_like(x)

    def forward(self, x):
        return torch.softmax(x, dim=1)
