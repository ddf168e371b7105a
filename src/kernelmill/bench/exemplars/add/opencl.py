"""add: a work-item per element."""

import torch
import torch.nn as nn

from kernelmill.backends.opencl import compile_opencl

SOURCE = """
kernel void add(global const float *x, global const float *y, global float *out) {
  size_t i = get_global_id(0);
  out[i] = x[i] + y[i];
}
"""


class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()
        self.program = compile_opencl(SOURCE)

    def forward(self, x, y):
        x, y = x.contiguous(), y.contiguous()
        out = torch.empty_like(x)
        self.program.add(x.numel(), x, y, out)
        return out
