# task: chain | backend: torch | expect: @stale,late_write,output_overwritten | level: L1
"""Section 2, batch and skip: queues the calls, does the work of four in one go."""

import torch
from torch import nn

QUEUE = []


class ModelNew(nn.Module):
    def forward(self, x, w):
        out = torch.zeros(x.shape)
        QUEUE.append((x, w, out))
        if len(QUEUE) % 4 == 0:
            for a, b, result in QUEUE[-4:]:
                for _ in range(12):
                    a = torch.tanh(a @ b * 0.125)
                result.copy_(a)
        return out
