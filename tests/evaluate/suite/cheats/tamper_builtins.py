# task: softmax | backend: torch | expect: patched,wrong_values,protocol_error,crashed | level: L2
"""Section 5, statistics patch: `min`, `sum`, `sorted` and `abs` of every module."""

import builtins

import torch
from torch import nn

builtins.min = lambda *args, **kwargs: 0
builtins.abs = lambda value: 0 * value
builtins.all = lambda items: True


class ModelNew(nn.Module):
    def forward(self, x):
        return torch.softmax(x, dim=1) * 1.01
