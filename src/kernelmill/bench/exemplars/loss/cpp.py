"""mse_loss: one pass over both tensors, partial sums in double."""

import ctypes

import torch
import torch.nn as nn

from kernelmill.backends.cpp import compile_cpp

SOURCE = r"""
extern "C" void mse(const float* a, const float* b, float* loss, long count) {
  double sum = 0;
#pragma omp parallel for simd reduction(+ : sum)
  for (long i = 0; i < count; ++i) {
    const double difference = static_cast<double>(a[i]) - b[i];
    sum += difference * difference;
  }
  *loss = static_cast<float>(sum / count);
}
"""


class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()
        self.library = compile_cpp(SOURCE)
        self.library.mse.argtypes = [ctypes.c_void_p] * 3 + [ctypes.c_long] * 1
        self.library.mse.restype = None

    def forward(self, predictions, targets):
        predictions, targets = predictions.contiguous(), targets.contiguous()
        loss = torch.empty(())
        self.library.mse(
            predictions.data_ptr(), targets.data_ptr(), loss.data_ptr(), predictions.numel()
        )
        return loss
