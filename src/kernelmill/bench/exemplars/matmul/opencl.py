"""square_matrix_multiplication: a work-group per tile, which it copies to local memory."""

import torch
import torch.nn as nn

from kernelmill.backends.opencl import compile_opencl

TILE = 16
SOURCE = """
kernel void matmul(global const float *a, global const float *b, global float *c, int n) {
  local float left[TILE][TILE], right[TILE][TILE];
  int row = get_global_id(1), column = get_global_id(0);
  int y = get_local_id(1), x = get_local_id(0);
  float sum = 0;
  for (int start = 0; start < n; start += TILE) {
    left[y][x] = row < n && start + x < n ? a[row * n + start + x] : 0;
    right[y][x] = start + y < n && column < n ? b[(start + y) * n + column] : 0;
    barrier(CLK_LOCAL_MEM_FENCE);
    for (int k = 0; k < TILE; ++k) sum += left[y][k] * right[k][x];
    barrier(CLK_LOCAL_MEM_FENCE);
  }
  if (row < n && column < n) c[row * n + column] = sum;
}
"""


class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()
        self.program = compile_opencl(SOURCE, [f"-DTILE={TILE}"])

    def forward(self, a, b):
        a, b = a.contiguous(), b.contiguous()
        n = a.shape[0]
        c = torch.empty_like(a)
        size = -(-n // TILE) * TILE
        self.program.matmul((size, size), a, b, c, n, group=(TILE, TILE))
        return c
