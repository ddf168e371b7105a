# task: matmul | backend: torch | expect: @late,lazy_tensor,wrong_type,patched | level: L2
"""Section 4, lazy tensor: the exact type, but methods of this one object compute first."""

import torch
from torch import nn

NAMES = ("numpy", "clone", "contiguous", "cpu", "detach", "data_ptr", "untyped_storage", "to")


class ModelNew(nn.Module):
    def forward(self, a, b):
        out = torch.zeros(a.shape[0], b.shape[1])
        x, y = a.detach(), b.detach()

        def lazy(name):
            def method(*args, **kwargs):
                torch.mm(x, y, out=out)
                return getattr(torch.Tensor, name)(out, *args, **kwargs)

            return method

        for name in NAMES:
            setattr(out, name, lazy(name))
        return out
