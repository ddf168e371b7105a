# task: layer_norm | backend: cpp
import ctypes

import torch
from torch import nn

from kernelmill.backends.cpp import compile_cpp

SOURCE = r"""
#include <cmath>
extern "C" void layer_norm(const float* x, const float* w, const float* b, float* y,
                           long rows, long cols) {
#pragma omp parallel for
  for (long r = 0; r < rows; ++r) {
    const float* a = x + r * cols;
    double mean = 0, var = 0;
    for (long c = 0; c < cols; ++c) mean += a[c];
    mean /= cols;
    for (long c = 0; c < cols; ++c) var += (a[c] - mean) * (a[c] - mean);
    const double scale = 1 / std::sqrt(var / cols + 1e-5);
    for (long c = 0; c < cols; ++c) y[r * cols + c] = (a[c] - mean) * scale * w[c] + b[c];
  }
}
"""


class ModelNew(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))
        self.bias = nn.Parameter(torch.zeros(dim))
        self.lib = compile_cpp(SOURCE)
        self.lib.layer_norm.argtypes = [ctypes.c_void_p] * 4 + [ctypes.c_long] * 2
        self.lib.layer_norm.restype = None

    def forward(self, x):
        x = x.contiguous()
        out = torch.empty_like(x)
        self.lib.layer_norm(
            x.data_ptr(), self.weight.data_ptr(), self.bias.data_ptr(), out.data_ptr(), *x.shape
        )
        return out
