"""gather: rows in parallel, an index beyond the row is refused by the caller."""

import ctypes

import torch
import torch.nn as nn

from kernelmill.backends.cpp import compile_cpp

SOURCE = r"""
#include <cstdint>

extern "C" void gather(const float* x, const std::int64_t* index, float* y, long rows, long length,
                       long count) {
#pragma omp parallel for
  for (long r = 0; r < rows; ++r)
    for (long i = 0; i < count; ++i) y[r * count + i] = x[r * length + index[r * count + i]];
}
"""


class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()
        self.library = compile_cpp(SOURCE)
        self.library.gather.argtypes = [ctypes.c_void_p] * 3 + [ctypes.c_long] * 3
        self.library.gather.restype = None

    def forward(self, x, indices):
        x, indices = x.contiguous(), indices.contiguous()
        y = torch.empty(indices.shape)
        if indices.numel() and not 0 <= indices.min() <= indices.max() < x.shape[1]:
            raise IndexError(f"indices must be in 0..{x.shape[1] - 1}")
        self.library.gather(
            x.data_ptr(),
            indices.data_ptr(),
            y.data_ptr(),
            indices.shape[0],
            x.shape[1],
            indices.shape[1],
        )
        return y
