"""add_bias_four_dim_broadcast: the bias is read once for each plane."""

import ctypes

import torch
import torch.nn as nn

from kernelmill.backends.cpp import compile_cpp

SOURCE = r"""
extern "C" void add_bias(const float* x, const float* bias, float* y, long planes, long channels,
                         long size) {
#pragma omp parallel for
  for (long p = 0; p < planes; ++p) {
    const float value = bias[p % channels];
#pragma omp simd
    for (long i = 0; i < size; ++i) y[p * size + i] = x[p * size + i] + value;
  }
}
"""


class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()
        self.library = compile_cpp(SOURCE)
        self.library.add_bias.argtypes = [ctypes.c_void_p] * 3 + [ctypes.c_long] * 3
        self.library.add_bias.restype = None

    def forward(self, x, bias):
        x, bias = x.contiguous(), bias.contiguous()
        batch, channels, height, width = x.shape
        y = torch.empty_like(x)
        self.library.add_bias(
            x.data_ptr(), bias.data_ptr(), y.data_ptr(), batch * channels, channels, height * width
        )
        return y
