# task: linear_gelu | backend: torch | level: L1
# | expect: state_modified,wrong_values,not_repeatable
"""Section 1, changes its own weights while it runs."""

import torch
from torch import nn


class ModelNew(nn.Module):
    def __init__(self, in_features, out_features):
        super().__init__()
        self.linear = nn.Linear(in_features, out_features)

    def forward(self, x):
        out = nn.functional.gelu(self.linear(x))
        with torch.no_grad():
            self.linear.weight.mul_(1.001)
        return out
