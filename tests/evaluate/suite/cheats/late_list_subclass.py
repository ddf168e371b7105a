# task: split_heads | backend: torch | expect: wrong_structure,wrong_type,lazy_tensor | level: L2
"""Section 4, lazy structure: a list whose items are computed when they are read."""

import torch
from torch import nn


class LazyList(list):
    def __init__(self, parts):
        super().__init__(torch.zeros_like(part) for part in parts)
        self.parts = parts

    def __iter__(self):
        return (part.sigmoid() for part in self.parts)

    def __getitem__(self, index):
        return self.parts[index].sigmoid()


class ModelNew(nn.Module):
    def forward(self, x):
        return LazyList(torch.chunk(x.detach(), 3, dim=1))
