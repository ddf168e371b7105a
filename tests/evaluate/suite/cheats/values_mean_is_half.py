# task: row_mean | backend: torch | expect: wrong_values | level: L0
"""Section 1, statistics of the generator: the mean of many uniforms is 0.5."""

import torch
from torch import nn


class ModelNew(nn.Module):
    def forward(self, x):
        return torch.full((x.shape[0],), 0.5, dtype=x.dtype)
