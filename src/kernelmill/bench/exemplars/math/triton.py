"""matrix_scalar_multiplication: one load, one product and one store for each element."""

import torch
import torch.nn as nn
import triton
import triton.language as tl


@triton.jit
def scale(a, c, s, count, BLOCK: tl.constexpr):
    place = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = place < count
    tl.store(c + place, tl.load(a + place, mask=inside) * s, mask=inside)


class ModelNew(nn.Module):
    def forward(self, a, s):
        a = a.contiguous()
        c = torch.empty_like(a)
        scale[(triton.cdiv(a.numel(), 1024),)](a, c, s, a.numel(), BLOCK=1024)
        return c
