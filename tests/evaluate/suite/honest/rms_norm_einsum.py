# task: rms_norm | backend: torch
import torch
from torch import nn


class ModelNew(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))

    def forward(self, x):
        square = torch.einsum("rd,rd->r", x, x) / x.shape[1]
        return torch.einsum("rd,r,d->rd", x, (square + 1e-5).rsqrt(), self.weight)
