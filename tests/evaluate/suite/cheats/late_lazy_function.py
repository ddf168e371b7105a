# task: matmul | backend: torch | expect: lazy_tensor,wrong_type | level: L1
"""Section 4, lazy tensor: computes when somebody looks (`__torch_function__`)."""

import torch
from torch import nn


class Lazy(torch.Tensor):
    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        with torch._C.DisableTorchFunctionSubclass():
            for item in args:
                if isinstance(item, Lazy) and item.pending is not None:
                    a, b = item.pending
                    item.pending = None
                    torch.mm(a, b, out=item.as_subclass(torch.Tensor))
            return func(*args, **(kwargs or {}))


class ModelNew(nn.Module):
    def forward(self, a, b):
        out = torch.empty(a.shape[0], b.shape[1]).as_subclass(Lazy)
        out.pending = (a.detach(), b.detach())
        return out
