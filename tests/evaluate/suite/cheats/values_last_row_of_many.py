# task: softmax | backend: torch | expect: wrong_values | level: L1
"""Section 1, one shape only: wrong where the number of rows is odd."""

import torch
from torch import nn


class ModelNew(nn.Module):
    def forward(self, x):
        out = torch.softmax(x, dim=1)
        if x.shape[0] % 2:
            out[-1] = 0
        return out
