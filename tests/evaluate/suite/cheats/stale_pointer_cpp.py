# task: softmax | backend: cpp | expect: wrong_values,stale_output,timing_wrong_values | level: L1
"""Section 2, cache by pointer: a static map inside a real C++ kernel."""

import ctypes

import torch
from torch import nn

from kernelmill.backends.cpp import compile_cpp

SOURCE = r"""
#include <cmath>
#include <cstring>
#include <map>
#include <vector>
extern "C" void softmax(const float* x, float* y, long rows, long cols) {
  static std::map<const float*, std::vector<float>> known;
  auto found = known.find(x);
  if (found != known.end() && (long)found->second.size() == rows * cols) {
    std::memcpy(y, found->second.data(), sizeof(float) * rows * cols);
    return;
  }
  for (long r = 0; r < rows; ++r) {
    const float* a = x + r * cols;
    float* b = y + r * cols;
    float top = a[0];
    for (long c = 1; c < cols; ++c) top = a[c] > top ? a[c] : top;
    float sum = 0;
    for (long c = 0; c < cols; ++c) sum += b[c] = std::exp(a[c] - top);
    for (long c = 0; c < cols; ++c) b[c] /= sum;
  }
  known[x] = std::vector<float>(y, y + rows * cols);
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
