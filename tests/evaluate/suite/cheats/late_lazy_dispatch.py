# task: softmax | backend: torch | expect: lazy_tensor,wrong_type | level: L1
"""Section 4, lazy tensor: a wrapper without storage (`__torch_dispatch__`)."""

import torch
from torch import nn
from torch.utils._pytree import tree_map


class Lazy(torch.Tensor):
    @staticmethod
    def __new__(cls, x):
        return torch.Tensor._make_wrapper_subclass(cls, x.shape, dtype=x.dtype)

    def __init__(self, x):
        self.source = x

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        def force(item):
            return torch.softmax(item.source, dim=1) if isinstance(item, Lazy) else item

        return func(*tree_map(force, args), **tree_map(force, kwargs or {}))


class ModelNew(nn.Module):
    def forward(self, x):
        return Lazy(x.detach())
