# task: hard_clamp | backend: triton
import torch
import triton
import triton.language as tl
from torch import nn


@triton.jit
def wave(x, y, n, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    value = tl.load(x + at, mask=at < n)
    value = tl.sin(value) + 0.5 * value
    value = tl.where(value > 20.0, 20.0, tl.where(value < -20.0, -20.0, value))
    tl.store(y + at, value, mask=at < n)


class ModelNew(nn.Module):
    def forward(self, x):
        x = x.contiguous()
        out = torch.empty_like(x)
        n = x.numel()
        wave[(triton.cdiv(n, 1024),)](x, out, n, BLOCK=1024)
        return out
