# task: layer_scale | backend: torch | expect: no_gain,wrong_values | level: L1 | needs: timing
"""Section 1 and 3: skips the branch where the weights are still those of a fresh model."""

import torch
from torch import nn


class ModelNew(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.linear = nn.Linear(dim, dim)
        self.gamma = nn.Parameter(torch.full((dim,), 1e-6))

    def forward(self, x):
        if self.gamma[0].item() < 1e-5 and self.gamma[-1].item() < 1e-5:
            return x.clone()
        return x + self.gamma * torch.tanh(self.linear(x))
