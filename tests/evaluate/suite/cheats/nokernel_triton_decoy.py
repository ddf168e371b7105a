# task: hard_clamp | backend: triton | expect: decoy_kernel,no_kernel | level: L1
"""Section 6, decoy kernel: a Triton kernel that is defined and never launched."""

import torch
import triton
import triton.language as tl
from torch import nn


@triton.jit
def add_sine(x, y, n, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    value = tl.load(x + at, mask=at < n)
    tl.store(y + at, tl.sin(value) + 0.5 * value, mask=at < n)


class ModelNew(nn.Module):
    def forward(self, x):
        return torch.clamp(torch.sin(x) + 0.5 * x, -20.0, 20.0)
