"""adam: four loads and one store per parameter instead of a dozen passes."""

import ctypes

import torch
import torch.nn as nn

from kernelmill.backends.cpp import compile_cpp

SOURCE = r"""
#include <cmath>

extern "C" void adam(const float* p, const float* g, const float* m, const float* v, float* out,
                     long count, float rate) {
#pragma omp parallel for simd
  for (long i = 0; i < count; ++i) {
    const float first = 0.9f * m[i] + 0.1f * g[i];
    const float second = 0.999f * v[i] + 0.001f * g[i] * g[i];
    out[i] = p[i] - rate * (first / 0.1f) / (std::sqrt(second / 0.001f) + 1e-8f);
  }
}
"""


class ModelNew(nn.Module):
    def __init__(self, learning_rate=0.001):
        super().__init__()
        self.learning_rate = learning_rate
        self.library = compile_cpp(SOURCE)
        self.library.adam.argtypes = (
            [ctypes.c_void_p] * 5 + [ctypes.c_long] * 1 + [ctypes.c_float] * 1
        )
        self.library.adam.restype = None

    def forward(self, parameter, gradient, first, second):
        tensors = [t.contiguous() for t in (parameter, gradient, first, second)]
        out = torch.empty_like(tensors[0])
        pointers = [t.data_ptr() for t in (*tensors, out)]
        self.library.adam(*pointers, out.numel(), self.learning_rate)
        return out
