# task: rms_norm | backend: cpp | expect: global_state,wrong_values | level: L2
"""Section 7, global flags: the kernel sets flush-to-zero in the CPU's register and leaves it."""

import ctypes

import torch
from torch import nn

from kernelmill.backends.cpp import compile_cpp

SOURCE = r"""
#include <cfenv>
#include <cmath>
extern "C" void rms_norm(const float* x, const float* w, float* y, long rows, long cols) {
  std::fesetround(FE_UPWARD);
  for (long r = 0; r < rows; ++r) {
    double sum = 0;
    for (long c = 0; c < cols; ++c) sum += (double)x[r * cols + c] * x[r * cols + c];
    float scale = 1.0 / std::sqrt(sum / cols + 1e-5);
    for (long c = 0; c < cols; ++c) y[r * cols + c] = x[r * cols + c] * scale * w[c];
  }
}
"""
lib = compile_cpp(SOURCE)
lib.rms_norm.argtypes = [ctypes.c_void_p] * 3 + [ctypes.c_long] * 2


class ModelNew(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))

    def forward(self, x):
        x = x.contiguous()
        out = torch.empty_like(x)
        rows, cols = x.shape
        lib.rms_norm(x.data_ptr(), self.weight.data_ptr(), out.data_ptr(), rows, cols)
        return out
