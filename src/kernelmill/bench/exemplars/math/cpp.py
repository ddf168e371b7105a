"""cumsum: a lane for each running sum, read and written once."""

import ctypes

import torch
import torch.nn as nn

from kernelmill.backends.cpp import compile_cpp

SOURCE = r"""
// x, y: (outer, length, inner), summed along length
extern "C" void cumsum(const float* x, float* y, long outer, long length, long inner) {
#pragma omp parallel for collapse(2)
  for (long o = 0; o < outer; ++o)
    for (long i = 0; i < inner; ++i) {
      double sum = 0;
      for (long l = 0; l < length; ++l) {
        const long at = (o * length + l) * inner + i;
        sum += x[at];
        y[at] = static_cast<float>(sum);
      }
    }
}
"""


class ModelNew(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.dim = dim
        self.library = compile_cpp(SOURCE)
        self.library.cumsum.argtypes = [ctypes.c_void_p] * 2 + [ctypes.c_long] * 3
        self.library.cumsum.restype = None

    def forward(self, x):
        x = x.contiguous()
        dim = self.dim % x.dim()
        outer, inner = x.shape[:dim].numel(), x.shape[dim + 1 :].numel()
        y = torch.empty_like(x)
        self.library.cumsum(x.data_ptr(), y.data_ptr(), outer, x.shape[dim], inner)
        return y
