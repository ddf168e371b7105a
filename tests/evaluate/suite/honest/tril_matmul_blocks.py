# task: tril_matmul | backend: torch
# Uses that both inputs are lower triangular: blocks above the diagonal are never read.
import torch
from torch import nn


class ModelNew(nn.Module):
    BLOCK = 32

    def forward(self, a, b):
        size = a.shape[0]
        out = torch.zeros_like(a)
        for start in range(0, size, self.BLOCK):
            stop = min(start + self.BLOCK, size)
            out[start:stop, :stop] = a[start:stop, :stop] @ b[:stop, :stop]
        return out.tril_()
