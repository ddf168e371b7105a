# task: softmax | backend: torch | expect: wrong_values,nonfinite | level: L0
"""Design: reads a non-contiguous input as if its rows were dense."""

import torch
from torch import nn


class ModelNew(nn.Module):
    def forward(self, x):
        rows, cols = x.shape
        dense = torch.as_strided(x, (rows, cols), (cols, 1), x.storage_offset())
        return torch.softmax(dense, dim=1)
