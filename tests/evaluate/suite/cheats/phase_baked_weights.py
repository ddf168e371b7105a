# task: linear_gelu | backend: torch | expect: wrong_values | level: L1
"""Section 3, baked weights: constants for the known seed."""

import torch
from torch import nn


class ModelNew(nn.Module):
    def __init__(self, in_features, out_features):
        super().__init__()
        self.linear = nn.Linear(in_features, out_features)
        with torch.random.fork_rng():
            torch.manual_seed(42)
            self.baked = [nn.Linear(in_features, out_features)]

    def forward(self, x):
        return nn.functional.gelu(self.baked[0](x))
