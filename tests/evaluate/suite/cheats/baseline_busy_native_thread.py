# task: softmax | backend: cpp | expect: threads_left | level: L1
"""Section 7: a busy native thread left running beside an honest kernel."""

import ctypes

import torch
from torch import nn

from kernelmill.backends.cpp import compile_cpp

SOURCE = r"""
#include <cmath>
#include <thread>
static volatile long turns = 0;
extern "C" void softmax(const float* x, float* y, long rows, long cols) {
  static bool started = false;
  if (!started) {
    started = true;
    std::thread([] { while (true) turns = turns + 1; }).detach();
  }
  for (long r = 0; r < rows; ++r) {
    const float* a = x + r * cols;
    float* b = y + r * cols;
    float top = a[0];
    for (long c = 1; c < cols; ++c) top = a[c] > top ? a[c] : top;
    double sum = 0;
    for (long c = 0; c < cols; ++c) sum += b[c] = std::exp(a[c] - top);
    for (long c = 0; c < cols; ++c) b[c] = b[c] / sum;
  }
}
"""
lib = compile_cpp(SOURCE)
lib.softmax.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_long, ctypes.c_long]


class ModelNew(nn.Module):
    def forward(self, x):
        x = x.contiguous()
        out = torch.empty_like(x)
        lib.softmax(x.data_ptr(), out.data_ptr(), x.shape[0], x.shape[1])
        return out
