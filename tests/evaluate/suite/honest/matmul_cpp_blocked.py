# task: matmul | backend: cpp
import ctypes

import torch
from torch import nn

from kernelmill.backends.cpp import compile_cpp

SOURCE = r"""
#include <algorithm>
#include <cstring>
extern "C" void matmul(const float* a, const float* b, float* c, long m, long k, long n) {
  std::memset(c, 0, sizeof(float) * m * n);
  const long block = 48;
#pragma omp parallel for
  for (long i = 0; i < m; ++i)
    for (long p0 = 0; p0 < k; p0 += block)
      for (long p = p0; p < std::min(k, p0 + block); ++p) {
        const float v = a[i * k + p];
        for (long j = 0; j < n; ++j) c[i * n + j] += v * b[p * n + j];
      }
}
"""
lib = compile_cpp(SOURCE)
lib.matmul.argtypes = [ctypes.c_void_p] * 3 + [ctypes.c_long] * 3


class ModelNew(nn.Module):
    def forward(self, a, b):
        a, b = a.contiguous(), b.contiguous()
        out = torch.empty(a.shape[0], b.shape[1])
        lib.matmul(a.data_ptr(), b.data_ptr(), out.data_ptr(), *a.shape, b.shape[1])
        return out
