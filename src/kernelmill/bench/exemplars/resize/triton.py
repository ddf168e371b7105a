"""nearest_neighbor_upsample: a block of outputs, each divided back to where it comes from."""

import torch.nn as nn
import triton
import triton.language as tl


@triton.jit
def upsample(x, y, height, width, count, BLOCK: tl.constexpr):
    place = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = place < count
    column = place % (4 * width) // 4
    row = place // (4 * width) % (4 * height) // 4
    plane = place // (16 * width * height)
    value = tl.load(x + (plane * height + row) * width + column, mask=inside)
    tl.store(y + place, value, mask=inside)


class ModelNew(nn.Module):
    def forward(self, x):
        x = x.contiguous()
        batch, channels, height, width = x.shape
        y = x.new_empty(batch, channels, 4 * height, 4 * width)
        grid = (triton.cdiv(y.numel(), 1024),)
        upsample[grid](x, y, height, width, y.numel(), BLOCK=1024)
        return y
