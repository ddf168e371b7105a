# task: softmax | backend: torch | expect: global_state,patched,wrong_values | level: L2
"""Section 5: a dispatch mode entered in forward and never left."""

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode


class Watch(TorchDispatchMode):
    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return func(*args, **(kwargs or {}))


MODE = []


class ModelNew(nn.Module):
    def forward(self, x):
        if not MODE:
            MODE.append(Watch())
            MODE[0].__enter__()
        return torch.softmax(x, dim=1)
