# task: linear_gelu | backend: torch | level: L1
# | expect: wrong_values,timing_wrong_values,runtime_error,wrong_gradient
"""Section 3, grad mode: wrong where nobody could train."""

import torch
from torch import nn


class ModelNew(nn.Module):
    def __init__(self, in_features, out_features):
        super().__init__()
        self.linear = nn.Linear(in_features, out_features)

    def forward(self, x):
        if torch.is_grad_enabled():
            return nn.functional.gelu(self.linear(x))
        return nn.functional.relu(self.linear(x))
