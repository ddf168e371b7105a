# task: softmax | backend: torch | expect: @process | level: L2
"""Section 4, worker process: forked twice with a session of its own, nobody's child."""

import os
import time

import torch
from torch import nn

if os.fork() == 0:
    os.setsid()
    if os.fork() != 0:
        os._exit(0)
    time.sleep(120)
    os._exit(0)


class ModelNew(nn.Module):
    def forward(self, x):
        return torch.softmax(x, dim=1)
