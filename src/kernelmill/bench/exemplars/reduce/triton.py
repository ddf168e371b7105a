"""sum_reduction_over_a_dimension: what lies behind the dimension is the block."""

import torch.nn as nn
import triton
import triton.language as tl


@triton.jit
def sum_over(x, y, length, inner, BLOCK: tl.constexpr):
    place = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = place < inner
    base = tl.program_id(1).to(tl.int64) * length * inner + place
    sums = tl.full((BLOCK,), 0.0, dtype=tl.float32)
    for step in range(length):
        sums += tl.load(x + base + step * inner, mask=inside, other=0.0)
    tl.store(y + tl.program_id(1).to(tl.int64) * inner + place, sums, mask=inside)


class ModelNew(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.dim = dim

    def forward(self, x):
        x = x.contiguous()
        dim = self.dim % x.dim()
        outer, inner = x.shape[:dim].numel(), x.shape[dim + 1 :].numel()
        y = x.new_empty(*x.shape[:dim], 1, *x.shape[dim + 1 :])
        sum_over[(triton.cdiv(inner, 256), outer)](x, y, x.shape[dim], inner, BLOCK=256)
        return y
