# task: chain | backend: torch | expect: @process,late_write,wrong_values | level: L1
"""Section 4, worker process: a forked server with shared memory does the work."""

import os

import torch
from torch import nn


class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()
        self.area = torch.zeros(1 << 16).share_memory_()
        self.to_child, self.to_parent = os.pipe(), os.pipe()
        if os.fork() == 0:
            while os.read(self.to_child[0], 1):
                x, w = self.area[: 64 * 128].view(64, 128), self.area[64 * 128 :][: 128 * 128]
                w = w.view(128, 128)
                y = x
                for _ in range(12):
                    y = torch.tanh(y @ w * 0.125)
                x.copy_(y)
                os.write(self.to_parent[1], b"x")
            os._exit(0)

    def forward(self, x, w):
        if x.shape == (64, 128) and w.shape == (128, 128):
            self.area[: x.numel()].copy_(x.reshape(-1))
            self.area[x.numel() :][: w.numel()].copy_(w.reshape(-1))
            os.write(self.to_child[1], b"x")
            os.read(self.to_parent[0], 1)
            return self.area[: x.numel()].view(x.shape).clone()
        for _ in range(12):
            x = torch.tanh(x @ w * 0.125)
        return x
