# task: chain | backend: torch | expect: @late | level: L1
"""Section 4, host thread: a pool that lives as long as the module."""

from concurrent.futures import ThreadPoolExecutor

import torch
from torch import nn


def work(x, w, out):
    for _ in range(12):
        x = torch.tanh(x @ w * 0.125)
    out.copy_(x)


class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()
        self.pool = [ThreadPoolExecutor(1)]

    def forward(self, x, w):
        out = torch.empty_like(x)
        self.pool[0].submit(work, x.detach(), w.detach(), out.detach())
        return out
