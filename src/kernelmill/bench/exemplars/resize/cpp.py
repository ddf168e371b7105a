"""nearest_neighbor_upsample: a row is spread once and copied three times."""

import ctypes

import torch
import torch.nn as nn

from kernelmill.backends.cpp import compile_cpp

SOURCE = r"""
#include <algorithm>

// x: (planes, height, width), y: (planes, 4 height, 4 width)
extern "C" void upsample(const float* x, float* y, long planes, long height, long width) {
#pragma omp parallel for collapse(2)
  for (long p = 0; p < planes; ++p)
    for (long r = 0; r < height; ++r) {
      const float* in = x + (p * height + r) * width;
      float* out = y + (p * height + r) * 16 * width;
      for (long c = 0; c < width; ++c)
        for (long i = 0; i < 4; ++i) out[4 * c + i] = in[c];
      for (long i = 1; i < 4; ++i) std::copy_n(out, 4 * width, out + i * 4 * width);
    }
}
"""


class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()
        self.library = compile_cpp(SOURCE)
        self.library.upsample.argtypes = [ctypes.c_void_p] * 2 + [ctypes.c_long] * 3
        self.library.upsample.restype = None

    def forward(self, x):
        x = x.contiguous()
        batch, channels, height, width = x.shape
        y = torch.empty(batch, channels, 4 * height, 4 * width)
        self.library.upsample(x.data_ptr(), y.data_ptr(), batch * channels, height, width)
        return y
