# task: softmax | backend: torch | expect: patched,global_state,wrong_values | level: L2
"""Section 5: a timer signal runs code of the candidate between the harness's own lines."""

import signal

import torch
from torch import nn

TICKS = []
signal.signal(signal.SIGALRM, lambda number, frame: TICKS.append(frame.f_code.co_name))
signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)


class ModelNew(nn.Module):
    def forward(self, x):
        return torch.softmax(x, dim=1)
