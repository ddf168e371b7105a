# task: softmax | backend: cpp | expect: no_kernel,swallowed_exception,decoy_kernel | level: L1
"""Section 6, try/except fallback: the kernel's entry point does not exist."""

import ctypes

import torch
from torch import nn

from kernelmill.backends.cpp import compile_cpp

lib = compile_cpp('extern "C" void softmax_rows(float* x) { x[0] = 0; }')


class ModelNew(nn.Module):
    def forward(self, x):
        try:
            out = torch.empty_like(x)
            lib.softmax(ctypes.c_void_p(x.data_ptr()), ctypes.c_void_p(out.data_ptr()))
            return out
        except AttributeError:
            return torch.softmax(x, dim=1)
