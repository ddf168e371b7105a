# task: matmul | backend: torch | expect: @late | level: L1
"""Section 4, host thread: returns an empty tensor that a thread fills a moment later."""

import threading
import time

import torch
from torch import nn


class ModelNew(nn.Module):
    def forward(self, a, b):
        out = torch.zeros(a.shape[0], b.shape[1])

        def work():
            time.sleep(0.02)
            torch.mm(a.detach(), b.detach(), out=out)

        threading.Thread(target=work, daemon=True).start()
        return out
