# task: softmax | backend: cpp | expect: decoy_kernel,no_kernel | level: L1
"""Section 6, decoy kernel: launched on a scrap of data, the framework does the work."""

import ctypes

import torch
from torch import nn

from kernelmill.backends.cpp import compile_cpp

SOURCE = 'extern "C" void touch(float* x, long n) { for (long i = 0; i < n; ++i) x[i] += 1; }'
lib = compile_cpp(SOURCE)
lib.touch.argtypes = [ctypes.c_void_p, ctypes.c_long]


class ModelNew(nn.Module):
    def forward(self, x):
        scrap = torch.zeros(4)
        lib.touch(scrap.data_ptr(), 4)
        return torch.softmax(x, dim=1)
