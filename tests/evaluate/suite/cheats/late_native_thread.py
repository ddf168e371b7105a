# task: matmul | backend: cpp | expect: @late | level: L1
"""Section 4, host thread: a detached native thread that Python does not know of."""

import ctypes

import torch
from torch import nn

from kernelmill.backends.cpp import compile_cpp

SOURCE = r"""
#include <chrono>
#include <thread>
extern "C" void matmul(const float* a, const float* b, float* c, long m, long k, long n) {
  std::thread([=] {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    for (long i = 0; i < m; ++i)
      for (long j = 0; j < n; ++j) {
        float sum = 0;
        for (long p = 0; p < k; ++p) sum += a[i * k + p] * b[p * n + j];
        c[i * n + j] = sum;
      }
  }).detach();
}
"""
lib = compile_cpp(SOURCE)
lib.matmul.argtypes = [ctypes.c_void_p] * 3 + [ctypes.c_long] * 3
KEPT = []


class ModelNew(nn.Module):
    def forward(self, a, b):
        a, b = a.contiguous(), b.contiguous()
        out = torch.zeros(a.shape[0], b.shape[1])
        KEPT.append((a, b, out))
        lib.matmul(a.data_ptr(), b.data_ptr(), out.data_ptr(), *a.shape, b.shape[1])
        return out
