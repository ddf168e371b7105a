# task: cumsum | backend: torch | expect: wrong_values | level: L1
"""Section 1, precision by input: exact in the usual range, clipped outside."""

import torch
from torch import nn


class ModelNew(nn.Module):
    def forward(self, x):
        return torch.cumsum(x.clamp(-6, 6), dim=1)
