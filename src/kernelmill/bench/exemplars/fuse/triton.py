"""gemm_add_relu: bias and ReLU while the tile of the product is in registers."""

import torch
import torch.nn as nn
import triton
import triton.language as tl


@triton.jit
def gemm_add_relu(
    x, weight, bias, y, rows, inner, columns, TILE: tl.constexpr, DEPTH: tl.constexpr
):
    row = tl.program_id(0) * TILE + tl.arange(0, TILE)
    column = tl.program_id(1) * TILE + tl.arange(0, TILE)
    sums = tl.full((TILE, TILE), 0.0, dtype=tl.float32)
    for start in range(0, inner, DEPTH):
        k = start + tl.arange(0, DEPTH)
        left = (row < rows)[:, None] & (k < inner)[None, :]
        right = (k < inner)[:, None] & (column < columns)[None, :]
        a = tl.load(x + row[:, None] * inner + k[None, :], mask=left, other=0.0)
        b = tl.load(weight + column[None, :] * inner + k[:, None], mask=right, other=0.0)
        sums += tl.dot(a, b, input_precision="ieee")
    sums += tl.load(bias + column, mask=column < columns, other=0.0)[None, :]
    sums = tl.where(sums < 0.0, 0.0, sums)  # NaN stays NaN, as in torch.relu
    inside = (row < rows)[:, None] & (column < columns)[None, :]
    tl.store(y + row[:, None] * columns + column[None, :], sums, mask=inside)


class ModelNew(nn.Module):
    def __init__(self, in_features, out_features, bias_shape):
        super().__init__()
        self.linear = nn.Linear(in_features, out_features, bias=False)
        self.bias = nn.Parameter(torch.randn(bias_shape))

    def forward(self, x):
        x, weight = x.contiguous(), self.linear.weight.contiguous()
        rows, columns = x.shape[0], weight.shape[0]
        y = x.new_empty(rows, columns)
        grid = (triton.cdiv(rows, 32), triton.cdiv(columns, 32))
        gemm_add_relu[grid](x, weight, self.bias, y, rows, x.shape[1], columns, TILE=32, DEPTH=64)
        return y
