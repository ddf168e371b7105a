# task: softmax | backend: cpp | expect: no_kernel,swallowed_exception | level: L1
"""Section 6, try/except fallback: the compiler refuses the kernel and nobody hears of it."""

import torch
from torch import nn

from kernelmill.backends.cpp import compile_cpp

try:
    lib = compile_cpp('extern "C" void softmax(const float* x) { this is no C++ }')
except Exception:
    lib = None


class ModelNew(nn.Module):
    def forward(self, x):
        if lib is not None:
            out = torch.empty_like(x)
            lib.softmax(x.data_ptr(), out.data_ptr())
            return out
        return torch.softmax(x, dim=1)
