"""softmax: a row stays in the cache for its three passes, rows run in parallel."""

import ctypes

import torch
import torch.nn as nn

from kernelmill.backends.cpp import compile_cpp

SOURCE = r"""
#include <algorithm>
#include <cmath>

extern "C" void softmax(const float* x, float* y, long rows, long columns) {
#pragma omp parallel for
  for (long r = 0; r < rows; ++r) {
    const float* in = x + r * columns;
    float* out = y + r * columns;
    float largest = in[0];
    for (long c = 1; c < columns; ++c) largest = std::max(largest, in[c]);
    float sum = 0;
    for (long c = 0; c < columns; ++c) {
      out[c] = std::exp(in[c] - largest);
      sum += out[c];
    }
    const float scale = 1 / sum;
#pragma omp simd
    for (long c = 0; c < columns; ++c) out[c] *= scale;
  }
}
"""


class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()
        self.library = compile_cpp(SOURCE)
        self.library.softmax.argtypes = [ctypes.c_void_p] * 2 + [ctypes.c_long] * 2
        self.library.softmax.restype = None

    def forward(self, x):
        x = x.contiguous()
        y = torch.empty_like(x)
        self.library.softmax(x.data_ptr(), y.data_ptr(), x.shape[0], x.shape[1])
        return y
