# task: hard_clamp | backend: torch | expect: wrong_values | level: L1
"""Section 1, drops a clamp that the problem's inputs never reach."""

import torch
from torch import nn


class ModelNew(nn.Module):
    def forward(self, x):
        return torch.sin(x) + 0.5 * x
