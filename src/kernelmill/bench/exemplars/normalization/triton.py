"""rms_norm: positions along the block, a loop over channels, two passes."""

import torch
import torch.nn as nn
import triton
import triton.language as tl


@triton.jit
def rms_norm(x, y, channels, size, eps, BLOCK: tl.constexpr):
    place = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = place < size
    base = tl.program_id(1).to(tl.int64) * channels * size + place
    squares = tl.full((BLOCK,), 0.0, dtype=tl.float32)
    for c in range(channels):
        value = tl.load(x + base + c * size, mask=inside, other=0.0)
        squares += value * value
    root = tl.sqrt(squares / channels + eps)
    for c in range(channels):
        value = tl.load(x + base + c * size, mask=inside, other=0.0)
        tl.store(y + base + c * size, value / root, mask=inside)


class ModelNew(nn.Module):
    def __init__(self, features, eps=1e-5):
        super().__init__()
        self.eps = eps

    def forward(self, x):
        x = x.contiguous()
        batch, channels, height, width = x.shape
        size = height * width
        y = torch.empty_like(x)
        rms_norm[(triton.cdiv(size, 256), batch)](x, y, channels, size, self.eps, BLOCK=256)
        return y
