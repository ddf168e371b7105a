"""rms_norm: positions are lanes, so the sum over channels needs no shuffle."""

import ctypes

import torch
import torch.nn as nn

from kernelmill.backends.cpp import compile_cpp

SOURCE = r"""
#include <algorithm>
#include <cmath>

constexpr long LANES = 256;

// x, y: (batch, channels, size)
extern "C" void rms_norm(const float* x, float* y, long batch, long channels, long size,
                         float eps) {
#pragma omp parallel for collapse(2)
  for (long b = 0; b < batch; ++b)
    for (long first = 0; first < size; first += LANES) {
      const long count = std::min(LANES, size - first);
      const long base = b * channels * size + first;
      float scale[LANES] = {};
      for (long c = 0; c < channels; ++c) {
        const float* in = x + base + c * size;
#pragma omp simd
        for (long i = 0; i < count; ++i) scale[i] += in[i] * in[i];
      }
#pragma omp simd
      for (long i = 0; i < count; ++i) scale[i] = 1 / std::sqrt(scale[i] / channels + eps);
      for (long c = 0; c < channels; ++c) {
#pragma omp simd
        for (long i = 0; i < count; ++i)
          y[base + c * size + i] = x[base + c * size + i] * scale[i];
      }
    }
}
"""


class ModelNew(nn.Module):
    def __init__(self, features, eps=1e-5):
        super().__init__()
        self.eps = eps
        self.library = compile_cpp(SOURCE)
        self.library.rms_norm.argtypes = (
            [ctypes.c_void_p] * 2 + [ctypes.c_long] * 3 + [ctypes.c_float] * 1
        )
        self.library.rms_norm.restype = None

    def forward(self, x):
        x = x.contiguous()
        y = torch.empty_like(x)
        batch, channels, height, width = x.shape
        self.library.rms_norm(x.data_ptr(), y.data_ptr(), batch, channels, height * width, self.eps)
        return y
