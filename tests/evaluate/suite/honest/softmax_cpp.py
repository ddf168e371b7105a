# task: softmax | backend: cpp
import ctypes

import torch
from torch import nn

from kernelmill.backends.cpp import compile_cpp

SOURCE = r"""
#include <cmath>
extern "C" void softmax(const float* x, float* y, long rows, long cols) {
#pragma omp parallel for
  for (long r = 0; r < rows; ++r) {
    const float* a = x + r * cols;
    float* b = y + r * cols;
    float top = -INFINITY;
    for (long c = 0; c < cols; ++c) top = std::fmax(top, a[c]);
    float sum = 0;
    for (long c = 0; c < cols; ++c) sum += b[c] = std::exp(a[c] - top);
    for (long c = 0; c < cols; ++c) b[c] /= sum;
  }
}
"""
lib = compile_cpp(SOURCE)
lib.softmax.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_long, ctypes.c_long]


class ModelNew(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x.contiguous()
        out = torch.empty_like(x)
        lib.softmax(x.data_ptr(), out.data_ptr(), x.shape[0], x.shape[1])
        return out
