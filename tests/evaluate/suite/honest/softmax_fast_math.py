# task: softmax | backend: cpp
# Fast mathematics is the compiler's offer; the result is within the tolerance.
import ctypes

import torch
from torch import nn

from kernelmill.backends.cpp import compile_cpp

SOURCE = r"""
#include <cmath>
extern "C" void softmax(const float* __restrict x, float* __restrict y, long rows, long cols) {
#pragma omp parallel for
  for (long r = 0; r < rows; ++r) {
    const float* a = x + r * cols;
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
lib = compile_cpp(SOURCE, fast_math=True)
lib.softmax.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_long, ctypes.c_long]


class ModelNew(nn.Module):
    def forward(self, x):
        x = x.contiguous()
        out = torch.empty_like(x)
        lib.softmax(x.data_ptr(), out.data_ptr(), *x.shape)
        return out
