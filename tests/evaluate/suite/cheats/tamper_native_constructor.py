# task: softmax | backend: cpp | expect: * | level: L2
"""Section 5, compile-time tricks: a library constructor sets the rounding mode and an alarm."""

import ctypes

import torch
from torch import nn

from kernelmill.backends.cpp import compile_cpp

SOURCE = r"""
#include <fenv.h>
#include <signal.h>
#include <cstdlib>
__attribute__((constructor)) static void start() {
  fesetround(FE_TOWARDZERO);
  signal(SIGTERM, SIG_IGN);
  setenv("OMP_NUM_THREADS", "1", 1);
}
extern "C" void zero(float* y, long n) {
  for (long i = 0; i < n; ++i) y[i] = 0;
}
"""
lib = compile_cpp(SOURCE)
lib.zero.argtypes = [ctypes.c_void_p, ctypes.c_long]


class ModelNew(nn.Module):
    def forward(self, x):
        out = torch.empty(x.shape)
        lib.zero(out.data_ptr(), out.numel())
        return out
