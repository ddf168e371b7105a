# task: matmul | backend: torch
# Partial sums over slices of K, added as a tree.
import functools

import torch
from torch import nn


class ModelNew(nn.Module):
    def forward(self, a, b):
        parts = zip(a.split(16, dim=1), b.split(16, dim=0), strict=True)
        products = [left @ right for left, right in parts]
        while len(products) > 1:
            pairs = [products[i : i + 2] for i in range(0, len(products), 2)]
            products = [functools.reduce(torch.add, pair) for pair in pairs]
        return products[0]
