# task: matmul | backend: torch
# Sums in the order of K, as a naive kernel does; errors grow with K.
import torch
from torch import nn


class ModelNew(nn.Module):
    def forward(self, a, b):
        out = torch.zeros(a.shape[0], b.shape[1])
        for k in range(a.shape[1]):
            out = torch.addr(out, a[:, k], b[k])
        return out
