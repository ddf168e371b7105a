# task: row_mean | backend: cpp
# An OpenMP reduction: the order of sums differs from call to call.
import ctypes

import torch
from torch import nn

from kernelmill.backends.cpp import compile_cpp

SOURCE = r"""
extern "C" void row_mean(const float* x, float* y, long rows, long cols) {
  for (long r = 0; r < rows; ++r) {
    float sum = 0;
#pragma omp parallel for simd reduction(+ : sum) schedule(static, 512)
    for (long c = 0; c < cols; ++c) sum += x[r * cols + c];
    y[r] = sum / cols;
  }
}
"""
lib = compile_cpp(SOURCE)
lib.row_mean.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_long, ctypes.c_long]


class ModelNew(nn.Module):
    def forward(self, x):
        x = x.contiguous()
        out = torch.empty(x.shape[0])
        lib.row_mean(x.data_ptr(), out.data_ptr(), *x.shape)
        return out
