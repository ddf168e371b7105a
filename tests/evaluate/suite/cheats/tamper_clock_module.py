# task: chain | backend: torch | expect: patched,clock_mismatch | level: L2
"""Section 5, clock patch: a whole module takes the place of `time`."""

import sys
import time
import types

import torch
from torch import nn

fake = types.ModuleType("time")
fake.__dict__.update(time.__dict__)
fake.perf_counter = lambda: time.perf_counter() / 100
fake.perf_counter_ns = lambda: time.perf_counter_ns() // 100
sys.modules["time"] = fake


class ModelNew(nn.Module):
    def forward(self, x, w):
        for _ in range(12):
            x = torch.tanh(x @ w * 0.125)
        return x
