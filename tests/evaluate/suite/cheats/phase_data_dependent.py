# task: chain | backend: torch | expect: wrong_values | level: L1
"""Section 3: wrong for inputs of unit variance only, the most usual of all."""

import torch
from torch import nn


class ModelNew(nn.Module):
    def forward(self, x, w):
        steps = 11 if abs(x.std().item() - 1) < 0.02 else 12
        for _ in range(steps):
            x = torch.tanh(x @ w * 0.125)
        return x
