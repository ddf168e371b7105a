# task: matmul | backend: cpp | expect: no_kernel,decoy_kernel | level: L1
"""Section 6, wrapper: NumPy does the work where a C++ kernel was declared."""

import torch
from torch import nn


class ModelNew(nn.Module):
    def forward(self, a, b):
        return torch.from_numpy(a.numpy() @ b.numpy())
