# task: chain | backend: torch | expect: patched,clock_mismatch | level: L2
"""Section 5, clock patch: set in the first forward, after every check of the import."""

import time

import torch
from torch import nn

real, real_ns = time.perf_counter, time.perf_counter_ns


class ModelNew(nn.Module):
    def forward(self, x, w):
        time.perf_counter = lambda: real() / 100
        time.perf_counter_ns = lambda: real_ns() // 100
        for _ in range(12):
            x = torch.tanh(x @ w * 0.125)
        return x
