# task: matmul | backend: torch
# `empty` with `out=`, which fills all of it.
import torch
from torch import nn


class ModelNew(nn.Module):
    def forward(self, a, b):
        out = torch.empty(a.shape[0], b.shape[1], dtype=a.dtype, device=a.device)
        with torch.no_grad():
            torch.mm(a, b, out=out)
        return out
