# task: matmul | backend: cpp | expect: no_kernel,decoy_kernel | level: L1
"""Section 6, wrapper: a name put together at run time."""

import torch
from torch import nn


class ModelNew(nn.Module):
    def forward(self, a, b):
        return getattr(torch.ops.aten, "m" + "m")(a, b)
