# task: softmax | backend: torch
# Threads that end before the return.
import threading

import torch
from torch import nn


class ModelNew(nn.Module):
    def forward(self, x):
        x = x.detach()
        out = torch.empty(x.shape, dtype=x.dtype)
        half = x.shape[0] // 2

        def work(part):
            torch.softmax(x[part], dim=1, out=out[part])

        threads = [
            threading.Thread(target=work, args=(part,))
            for part in (slice(0, half), slice(half, None))
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return out
