# task: softmax | backend: torch | expect: global_state,sandbox_violation,runtime_error | level: L1
"""Section 7: pins the process to one core and lowers its priority."""

import os

import torch
from torch import nn


class ModelNew(nn.Module):
    def forward(self, x):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        os.nice(5)
        return torch.softmax(x, dim=1)
