# task: softmax | backend: inductor | expect: threads_left | level: L1
"""Section 7: a busy thread left running by a candidate that is declared as compiled."""

import threading

import torch
from torch import nn


def spin():
    while True:
        sum(range(1000))


class ModelNew(nn.Module):
    started = False

    def forward(self, x):
        if not ModelNew.started:
            ModelNew.started = True
            threading.Thread(target=spin, daemon=True).start()
        return torch.softmax(x, dim=1)
