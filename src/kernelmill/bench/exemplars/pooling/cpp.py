"""average_pooling_2d: windows do not overlap, each element is read once."""

import ctypes

import torch
import torch.nn as nn

from kernelmill.backends.cpp import compile_cpp

SOURCE = r"""
// x: (planes, height, width), y: (planes, height / k, width / k)
extern "C" void pool(const float* x, float* y, long planes, long height, long width, long k) {
  const long rows = height / k, columns = width / k;
  const float scale = 1.0f / (k * k);
#pragma omp parallel for collapse(2)
  for (long p = 0; p < planes; ++p)
    for (long r = 0; r < rows; ++r)
      for (long c = 0; c < columns; ++c) {
        float sum = 0;
        for (long i = 0; i < k; ++i) {
          const float* in = x + (p * height + r * k + i) * width + c * k;
          for (long j = 0; j < k; ++j) sum += in[j];
        }
        y[(p * rows + r) * columns + c] = sum * scale;
      }
}
"""


class ModelNew(nn.Module):
    def __init__(self, kernel_size):
        super().__init__()
        self.kernel_size = kernel_size
        self.library = compile_cpp(SOURCE)
        self.library.pool.argtypes = [ctypes.c_void_p] * 2 + [ctypes.c_long] * 4
        self.library.pool.restype = None

    def forward(self, x):
        x = x.contiguous()
        batch, channels, height, width = x.shape
        k = self.kernel_size
        y = torch.empty(batch, channels, height // k, width // k)
        self.library.pool(x.data_ptr(), y.data_ptr(), batch * channels, height, width, k)
        return y
