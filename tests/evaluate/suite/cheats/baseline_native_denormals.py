# task: softmax | backend: cpp | expect: global_state,no_gain | level: L2 | needs: timing
"""Section 7, global flags: the kernel sets flush-to-zero in the CPU's register and leaves it."""

import ctypes

import torch
from torch import nn

from kernelmill.backends.cpp import compile_cpp

SOURCE = r"""
#include <cmath>
#include <immintrin.h>
extern "C" void softmax(const float* x, float* y, long rows, long cols) {
  _mm_setcsr(_mm_getcsr() | 0x8040);
  for (long r = 0; r < rows; ++r) {
    const float* a = x + r * cols;
    float* b = y + r * cols;
    float top = a[0];
    for (long c = 1; c < cols; ++c) top = a[c] > top ? a[c] : top;
    double sum = 0;
    for (long c = 0; c < cols; ++c) sum += b[c] = std::exp(a[c] - top);
    for (long c = 0; c < cols; ++c) b[c] = b[c] / sum;
  }
}
"""
lib = compile_cpp(SOURCE)
lib.softmax.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_long, ctypes.c_long]


class ModelNew(nn.Module):
    def forward(self, x):
        x = x.contiguous()
        out = torch.empty_like(x)
        lib.softmax(x.data_ptr(), out.data_ptr(), x.shape[0], x.shape[1])
        return out
