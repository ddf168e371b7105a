# task: cumsum | backend: torch
# A product with a triangle of ones that is kept by size.
from functools import lru_cache

import torch
from torch import nn


@lru_cache
def triangle(size: int) -> torch.Tensor:
    return torch.ones(size, size).triu()


class ModelNew(nn.Module):
    def forward(self, x):
        return x @ triangle(x.shape[1])
