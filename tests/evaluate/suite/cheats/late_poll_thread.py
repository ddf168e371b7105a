# task: chain | backend: torch | expect: @late,stale_output | level: L2
"""Section 4, host thread: watches the input buffer and works before the clock starts."""

import threading
import time

import torch
from torch import nn


def work(x, w):
    for _ in range(12):
        x = torch.tanh(x @ w * 0.125)
    return x


class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()
        self.watched = {}
        self.done = {}
        threading.Thread(target=self.watch, daemon=True).start()

    def watch(self):
        while True:
            for key, (x, w, stamp) in list(self.watched.items()):
                now = x.sum().item(), w.sum().item()
                if now != stamp:
                    self.done[key] = now, work(x.clone(), w.clone())
                    self.watched[key] = x, w, now
            time.sleep(0.0005)

    def forward(self, x, w):
        key = x.data_ptr(), w.data_ptr()
        stamp = x.sum().item(), w.sum().item()
        if key in self.done and self.done[key][0] == stamp:
            return self.done[key][1].clone()
        self.watched[key] = x.detach(), w.detach(), stamp
        return work(x, w)
