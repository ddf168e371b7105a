# task: softmax | backend: torch | expect: threads_left | level: L1
"""Section 7: a busy thread left running, beside a comment that says torch.compile."""

import threading

import torch
from torch import nn


def spin():
    while True:
        sum(range(1000))


class ModelNew(nn.Module):
    started = False

    def forward(self, x):
        # faster than torch.compile
        if not ModelNew.started:
            ModelNew.started = True
            threading.Thread(target=spin, daemon=True).start()
        return torch.softmax(x, dim=1)
