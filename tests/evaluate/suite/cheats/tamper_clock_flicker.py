# task: chain | backend: torch | expect: patched,clock_mismatch,no_gain | level: L2 | needs: timing
"""Section 5, clock patch: the patched clock puts the real one back after it was read once."""

import time

import torch
from torch import nn

real = time.perf_counter


def once():
    time.perf_counter = real
    return real() - 1e-3


class ModelNew(nn.Module):
    def forward(self, x, w):
        for _ in range(12):
            x = torch.tanh(x @ w * 0.125)
        time.perf_counter = once
        return x
