"""sum_reduction_over_a_dimension: what lies behind the dimension are lanes."""

import ctypes

import torch
import torch.nn as nn

from kernelmill.backends.cpp import compile_cpp

SOURCE = r"""
#include <algorithm>

// x: (outer, length, inner), y: (outer, inner)
extern "C" void sum(const float* x, float* y, long outer, long length, long inner) {
#pragma omp parallel for
  for (long o = 0; o < outer; ++o) {
    float* out = y + o * inner;
    std::fill_n(out, inner, 0.0f);
    for (long l = 0; l < length; ++l) {
      const float* in = x + (o * length + l) * inner;
#pragma omp simd
      for (long i = 0; i < inner; ++i) out[i] += in[i];
    }
  }
}
"""


class ModelNew(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.dim = dim
        self.library = compile_cpp(SOURCE)
        self.library.sum.argtypes = [ctypes.c_void_p] * 2 + [ctypes.c_long] * 3
        self.library.sum.restype = None

    def forward(self, x):
        x = x.contiguous()
        dim = self.dim % x.dim()
        outer, inner = x.shape[:dim].numel(), x.shape[dim + 1 :].numel()
        y = torch.empty(*x.shape[:dim], 1, *x.shape[dim + 1 :])
        self.library.sum(x.data_ptr(), y.data_ptr(), outer, x.shape[dim], inner)
        return y
