"""square_matrix_multiplication: a program per tile of C, walking along the inner dimension."""

import torch
import torch.nn as nn
import triton
import triton.language as tl


@triton.jit
def matmul(a, b, c, n, TILE: tl.constexpr, DEPTH: tl.constexpr):
    rows = tl.program_id(0) * TILE + tl.arange(0, TILE)
    columns = tl.program_id(1) * TILE + tl.arange(0, TILE)
    sums = tl.full((TILE, TILE), 0.0, dtype=tl.float32)
    for start in range(0, n, DEPTH):
        inner = start + tl.arange(0, DEPTH)
        left = (rows < n)[:, None] & (inner < n)[None, :]
        right = (inner < n)[:, None] & (columns < n)[None, :]
        x = tl.load(a + rows[:, None] * n + inner[None, :], mask=left, other=0.0)
        y = tl.load(b + inner[:, None] * n + columns[None, :], mask=right, other=0.0)
        # "ieee": without it the GPU rounds products to TF32
        sums += tl.dot(x, y, input_precision="ieee")
    inside = (rows < n)[:, None] & (columns < n)[None, :]
    tl.store(c + rows[:, None] * n + columns[None, :], sums, mask=inside)


class ModelNew(nn.Module):
    def forward(self, a, b):
        a, b = a.contiguous(), b.contiguous()
        n = a.shape[0]
        c = torch.empty_like(a)
        tiles = triton.cdiv(n, 64)
        matmul[(tiles, tiles)](a, b, c, n, TILE=64, DEPTH=32)
        return c
