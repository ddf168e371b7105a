"""conv_depthwise_2d_square_input_square_kernel: taps outside, pixels of a row as lanes."""

import ctypes

import torch
import torch.nn as nn

from kernelmill.backends.cpp import compile_cpp

SOURCE = r"""
#include <algorithm>

// x: (batch, channels, height, width), weight: (channels, k, k),
// y: (batch, channels, rows, columns)
extern "C" void depthwise(const float* x, const float* weight, float* y, long batch, long channels,
                          long height, long width, long k, long stride, long padding, long rows,
                          long columns) {
#pragma omp parallel for collapse(2)
  for (long p = 0; p < batch * channels; ++p)
    for (long r = 0; r < rows; ++r) {
      const float* taps = weight + (p % channels) * k * k;
      float* out = y + (p * rows + r) * columns;
      std::fill_n(out, columns, 0.0f);
      for (long i = 0; i < k; ++i) {
        const long row = r * stride + i - padding;
        if (row < 0 || row >= height) continue;
        const float* in = x + (p * height + row) * width;
        for (long j = 0; j < k; ++j) {
          // columns whose tap lies inside the row
          const long low = std::max(0L, (padding - j + stride - 1) / stride);
          const long high = std::min(columns, (width - 1 + padding - j) / stride + 1);
          const float tap = taps[i * k + j];
#pragma omp simd
          for (long c = low; c < high; ++c) out[c] += tap * in[c * stride + j - padding];
        }
      }
    }
}
"""


class ModelNew(nn.Module):
    def __init__(self, in_channels, kernel_size, stride, padding):
        super().__init__()
        self.stride, self.padding = stride, padding
        self.conv = nn.Conv2d(
            in_channels,
            in_channels,
            kernel_size,
            stride=stride,
            padding=padding,
            groups=in_channels,
            bias=False,
        )  # holds the weight
        self.library = compile_cpp(SOURCE)
        self.library.depthwise.argtypes = [ctypes.c_void_p] * 3 + [ctypes.c_long] * 9
        self.library.depthwise.restype = None

    def forward(self, x):
        x, weight = x.contiguous(), self.conv.weight.contiguous()
        batch, channels, height, width = x.shape
        k = weight.shape[-1]
        rows, columns = ((n + 2 * self.padding - k) // self.stride + 1 for n in (height, width))
        y = torch.empty(batch, channels, rows, columns)
        self.library.depthwise(
            x.data_ptr(),
            weight.data_ptr(),
            y.data_ptr(),
            batch,
            channels,
            height,
            width,
            k,
            self.stride,
            self.padding,
            rows,
            columns,
        )
        return y
