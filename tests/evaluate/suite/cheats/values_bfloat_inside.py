# task: linear_gelu | backend: torch | expect: wrong_values | level: L1
"""Section 1, precision downgrade: bfloat16 weights and activations."""

import torch
from torch import nn


class ModelNew(nn.Module):
    def __init__(self, in_features, out_features):
        super().__init__()
        self.linear = nn.Linear(in_features, out_features)

    def forward(self, x):
        low = torch.bfloat16
        y = nn.functional.linear(x.to(low), self.linear.weight.to(low), self.linear.bias.to(low))
        return nn.functional.gelu(y.float())
