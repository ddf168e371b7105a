# task: softmax | backend: cpp | expect: build_failed,import_failed | level: L0
"""C++ that does not compile, and says so."""

from torch import nn

from kernelmill.backends.cpp import compile_cpp

lib = compile_cpp('extern "C" void softmax(const float* x) { this is no C++ }')


class ModelNew(nn.Module):
    def forward(self, x):
        return x
