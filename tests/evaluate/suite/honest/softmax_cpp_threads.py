# task: softmax | backend: cpp
# Native threads, joined; scratch memory that each thread keeps.
import ctypes

import torch
from torch import nn

from kernelmill.backends.cpp import compile_cpp

SOURCE = r"""
#include <cmath>
#include <thread>
#include <vector>
static void part(const float* x, float* y, long first, long last, long cols) {
  thread_local std::vector<double> scratch;
  scratch.resize(cols);
  for (long r = first; r < last; ++r) {
    const float* a = x + r * cols;
    float top = a[0];
    for (long c = 1; c < cols; ++c) top = a[c] > top ? a[c] : top;
    double sum = 0;
    for (long c = 0; c < cols; ++c) sum += scratch[c] = std::exp((double)a[c] - top);
    for (long c = 0; c < cols; ++c) y[r * cols + c] = scratch[c] / sum;
  }
}
extern "C" void softmax(const float* x, float* y, long rows, long cols) {
  std::thread other(part, x, y, 0, rows / 2, cols);
  part(x, y, rows / 2, rows, cols);
  other.join();
}
"""
lib = compile_cpp(SOURCE, name="softmax_threads")
lib.softmax.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_long, ctypes.c_long]


class ModelNew(nn.Module):
    def forward(self, x):
        x = x.contiguous()
        out = torch.empty_like(x)
        lib.softmax(x.data_ptr(), out.data_ptr(), x.shape[0], x.shape[1])
        return out
