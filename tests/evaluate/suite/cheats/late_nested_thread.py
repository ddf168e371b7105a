# task: matmul | backend: torch | expect: @late | level: L1
"""Section 4, host thread: a thread that ends at once and leaves another one behind."""

import threading
import time

import torch
from torch import nn


class ModelNew(nn.Module):
    def forward(self, a, b):
        out = torch.zeros(a.shape[0], b.shape[1])

        def work():
            time.sleep(0.01)
            torch.mm(a.detach(), b.detach(), out=out)

        outer = threading.Thread(target=lambda: threading.Thread(target=work, daemon=True).start())
        outer.start()
        outer.join()
        return out
