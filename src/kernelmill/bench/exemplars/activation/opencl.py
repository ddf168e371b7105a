"""softmax: a work-item per row, three passes over what is then in the cache."""

import torch
import torch.nn as nn

from kernelmill.backends.opencl import compile_opencl

SOURCE = """
kernel void softmax(global const float *x, global float *y, long columns) {
  global const float *in = x + get_global_id(0) * columns;
  global float *out = y + get_global_id(0) * columns;
  float largest = -INFINITY;
  for (long c = 0; c < columns; ++c) largest = fmax(largest, in[c]);
  float sum = 0;
  for (long c = 0; c < columns; ++c) {
    out[c] = exp(in[c] - largest);
    sum += out[c];
  }
  for (long c = 0; c < columns; ++c) out[c] /= sum;
}
"""


class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()
        self.program = compile_opencl(SOURCE)

    def forward(self, x):
        x = x.contiguous()
        y = torch.empty_like(x)
        self.program.softmax(x.shape[0], x, y, x.shape[1])
        return y
