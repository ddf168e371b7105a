"""add: one pass over both inputs, in all threads."""

import ctypes

import torch
import torch.nn as nn

from kernelmill.backends.cpp import compile_cpp

SOURCE = r"""
extern "C" void add(const float* x, const float* y, float* out, long count) {
#pragma omp parallel for simd
  for (long i = 0; i < count; ++i) out[i] = x[i] + y[i];
}
"""


class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()
        self.library = compile_cpp(SOURCE)
        self.library.add.argtypes = [ctypes.c_void_p] * 3 + [ctypes.c_long]
        self.library.add.restype = None

    def forward(self, x, y):
        x, y = x.contiguous(), y.contiguous()
        out = torch.empty_like(x)
        self.library.add(x.data_ptr(), y.data_ptr(), out.data_ptr(), x.numel())
        return out
