# task: softmax | backend: cpp
# Calls the compiler by hand; a library that is not there yet is built.
import ctypes
import os
import subprocess
import tempfile

import torch
from torch import nn

SOURCE = r"""
#include <cmath>
extern "C" void softmax(const float* x, float* y, long rows, long cols) {
  for (long r = 0; r < rows; ++r) {
    const float* a = x + r * cols;
    float* b = y + r * cols;
    float top = a[0];
    for (long c = 1; c < cols; ++c) top = a[c] > top ? a[c] : top;
    float sum = 0;
    for (long c = 0; c < cols; ++c) sum += b[c] = std::exp(a[c] - top);
    for (long c = 0; c < cols; ++c) b[c] /= sum;
  }
}
"""


def library():
    folder = os.path.join(tempfile.gettempdir(), "honest_softmax")
    path = os.path.join(folder, "softmax.so")
    try:
        return ctypes.CDLL(path)
    except OSError:
        os.makedirs(folder, exist_ok=True)
        text = os.path.join(folder, "softmax.cpp")
        with open(text, "w") as file:
            file.write(SOURCE)
        subprocess.run(["g++", "-O2", "-shared", "-fPIC", text, "-o", path], check=True)
        return ctypes.CDLL(path)


lib = library()
lib.softmax.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_long, ctypes.c_long]


class ModelNew(nn.Module):
    def forward(self, x):
        x = x.contiguous()
        out = torch.empty_like(x)
        lib.softmax(x.data_ptr(), out.data_ptr(), x.shape[0], x.shape[1])
        return out
