"""sum_reduction_over_a_dimension: a work-item per sum; neighbours read neighbouring data."""

import torch.nn as nn

from kernelmill.backends.opencl import compile_opencl

SOURCE = """
kernel void sum_over(global const float *x, global float *y, long length) {
  size_t inner = get_global_size(0), i = get_global_id(0), o = get_global_id(1);
  global const float *in = x + o * length * inner + i;
  float sum = 0;
  for (long l = 0; l < length; ++l) sum += in[l * inner];
  y[o * inner + i] = sum;
}
"""


class ModelNew(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.dim = dim
        self.program = compile_opencl(SOURCE)

    def forward(self, x):
        x = x.contiguous()
        dim = self.dim % x.dim()
        outer, inner = x.shape[:dim].numel(), x.shape[dim + 1 :].numel()
        y = x.new_empty(*x.shape[:dim], 1, *x.shape[dim + 1 :])
        self.program.sum_over((inner, outer), x, y, x.shape[dim])
        return y
