"""add_bias_four_dim_broadcast: the second axis of the grid is the plane, its bias one load."""

import torch
import torch.nn as nn
import triton
import triton.language as tl


@triton.jit
def add_bias(x, bias, y, channels, size, BLOCK: tl.constexpr):
    plane = tl.program_id(1)
    place = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    at = plane.to(tl.int64) * size + place
    value = tl.load(bias + plane % channels)
    tl.store(y + at, tl.load(x + at, mask=place < size) + value, mask=place < size)


class ModelNew(nn.Module):
    def forward(self, x, bias):
        x, bias = x.contiguous(), bias.contiguous()
        batch, channels, height, width = x.shape
        size = height * width
        y = torch.empty_like(x)
        grid = (triton.cdiv(size, 1024), batch * channels)
        add_bias[grid](x, bias, y, channels, size, BLOCK=1024)
        return y
