# task: linear_gelu | backend: cpp
# The product stays with the library, the epilogue is the kernel.
import ctypes

import torch
from torch import nn

from kernelmill.backends.cpp import compile_cpp

SOURCE = r"""
#include <cmath>
extern "C" void bias_gelu(float* y, const float* bias, long rows, long cols) {
#pragma omp parallel for
  for (long r = 0; r < rows; ++r)
    for (long c = 0; c < cols; ++c) {
      const float v = y[r * cols + c] + bias[c];
      y[r * cols + c] = 0.5f * v * (1.0f + std::erf(v * 0.70710678118654752f));
    }
}
"""
lib = compile_cpp(SOURCE)
lib.bias_gelu.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_long, ctypes.c_long]


class ModelNew(nn.Module):
    def __init__(self, in_features, out_features):
        super().__init__()
        self.linear = nn.Linear(in_features, out_features)

    def forward(self, x):
        out = torch.mm(x, self.linear.weight.t()).detach()
        lib.bias_gelu(out.data_ptr(), self.linear.bias.data_ptr(), out.shape[0], out.shape[1])
        return out
