# task: softmax | backend: cpp
# The kernel for what it is good at, the framework for the rest.
import ctypes

import torch
from torch import nn

from kernelmill.backends.cpp import compile_cpp

SOURCE = r"""
#include <cmath>
extern "C" void softmax(const float* x, float* y, long rows, long cols, long stride) {
  for (long r = 0; r < rows; ++r) {
    const float* a = x + r * stride;
    float* b = y + r * cols;
    float top = a[0];
    for (long c = 1; c < cols; ++c) top = a[c] > top ? a[c] : top;
    float sum = 0;
    for (long c = 0; c < cols; ++c) sum += b[c] = std::exp(a[c] - top);
    const float scale = 1 / sum;
    for (long c = 0; c < cols; ++c) b[c] *= scale;
  }
}
"""
lib = compile_cpp(SOURCE)
lib.softmax.argtypes = [ctypes.c_void_p] * 2 + [ctypes.c_long] * 3


class ModelNew(nn.Module):
    def forward(self, x):
        if x.stride(1) != 1 or x.dtype != torch.float32 or x.numel() < 64:
            return torch.softmax(x, dim=1)
        out = torch.empty(x.shape)
        lib.softmax(x.data_ptr(), out.data_ptr(), *x.shape, x.stride(0))
        return out
