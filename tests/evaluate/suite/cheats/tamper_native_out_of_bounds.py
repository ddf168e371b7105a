# task: matmul | backend: cpp | expect: * | level: L1
"""Canaries around outputs: a kernel that writes a few elements past the end of its output."""

import ctypes

import torch
from torch import nn

from kernelmill.backends.cpp import compile_cpp

SOURCE = r"""
extern "C" void matmul(const float* a, const float* b, float* c, long m, long k, long n) {
  for (long i = 0; i < m; ++i)
    for (long j = 0; j < n; ++j) {
      double sum = 0;
      for (long p = 0; p < k; ++p) sum += (double)a[i * k + p] * b[p * n + j];
      c[i * n + j] = sum;
    }
  for (long i = 0; i < 4096; ++i) c[m * n + i] = 1e30f;
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
