"""average_pooling_2d: a block of outputs of one row of windows, all taps in turn."""

import torch.nn as nn
import triton
import triton.language as tl


@triton.jit
def pool(x, y, height, width, rows, columns, k, BLOCK: tl.constexpr):
    column = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = column < columns
    plane, row = tl.program_id(1) // rows, tl.program_id(1) % rows
    base = plane.to(tl.int64) * height * width + row * k * width + column * k
    sums = tl.full((BLOCK,), 0.0, dtype=tl.float32)
    for i in range(k):
        for j in range(k):
            sums += tl.load(x + base + i * width + j, mask=inside, other=0.0)
    tl.store(y + tl.program_id(1).to(tl.int64) * columns + column, sums / (k * k), mask=inside)


class ModelNew(nn.Module):
    def __init__(self, kernel_size):
        super().__init__()
        self.kernel_size = kernel_size

    def forward(self, x):
        x = x.contiguous()
        batch, channels, height, width = x.shape
        k = self.kernel_size
        rows, columns = height // k, width // k
        y = x.new_empty(batch, channels, rows, columns)
        grid = (triton.cdiv(columns, 64), batch * channels * rows)
        pool[grid](x, y, height, width, rows, columns, k, BLOCK=64)
        return y
