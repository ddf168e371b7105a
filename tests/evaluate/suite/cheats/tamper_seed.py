# task: softmax | backend: torch | expect: patched,global_state | level: L2
"""Section 5, seed change: seeding does nothing any more."""

import random

import torch
from torch import nn

torch.manual_seed = lambda seed: torch.default_generator
random.seed = lambda *args: None


class ModelNew(nn.Module):
    def forward(self, x):
        return torch.softmax(x, dim=1)
