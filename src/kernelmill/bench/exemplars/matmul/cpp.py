"""square_matrix_multiplication: blocks of four rows that share each row of B they load."""

import ctypes

import torch
import torch.nn as nn

from kernelmill.backends.cpp import compile_cpp

SOURCE = r"""
#include <algorithm>

constexpr long ROWS = 4, COLUMNS = 64;

// c = a b, all n x n; a block of C stays in registers and the first-level cache
extern "C" void matmul(const float* a, const float* b, float* c, long n) {
#pragma omp parallel for collapse(2)
  for (long i = 0; i < n; i += ROWS)
    for (long j = 0; j < n; j += COLUMNS) {
      float sums[ROWS][COLUMNS] = {};
      const long rows = std::min(ROWS, n - i), columns = std::min(COLUMNS, n - j);
      for (long k = 0; k < n; ++k) {
        const float* row = b + k * n + j;
        for (long r = 0; r < rows; ++r) {
          const float value = a[(i + r) * n + k];
#pragma omp simd
          for (long q = 0; q < columns; ++q) sums[r][q] += value * row[q];
        }
      }
      for (long r = 0; r < rows; ++r) std::copy_n(sums[r], columns, c + (i + r) * n + j);
    }
}
"""


class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()
        self.library = compile_cpp(SOURCE)
        self.library.matmul.argtypes = [ctypes.c_void_p] * 3 + [ctypes.c_long] * 1
        self.library.matmul.restype = None

    def forward(self, a, b):
        a, b = a.contiguous(), b.contiguous()
        c = torch.empty_like(a)
        self.library.matmul(a.data_ptr(), b.data_ptr(), c.data_ptr(), a.shape[0])
        return c
