# task: rms_norm | backend: cpp
import ctypes

import torch
from torch import nn

from kernelmill.backends.cpp import compile_cpp

SOURCE = r"""
#include <cmath>
extern "C" void rms_norm(const float* x, const float* w, float* y, long rows, long cols) {
  for (long r = 0; r < rows; ++r) {
    const float* a = x + r * cols;
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (long c = 0; c < cols; ++c) sum += a[c] * a[c];
    const float scale = 1 / std::sqrt(sum / cols + 1e-5f);
    for (long c = 0; c < cols; ++c) y[r * cols + c] = a[c] * scale * w[c];
  }
}
"""
lib = compile_cpp(SOURCE)
lib.rms_norm.argtypes = [ctypes.c_void_p] * 3 + [ctypes.c_long] * 2


class ModelNew(nn.Module):
    def __init__(self, dim: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))

    def forward(self, x):
        x = x.contiguous()
        out = torch.empty_like(x)
        weight = self.weight.detach().contiguous()
        lib.rms_norm(x.data_ptr(), weight.data_ptr(), out.data_ptr(), x.shape[0], x.shape[1])
        return out
