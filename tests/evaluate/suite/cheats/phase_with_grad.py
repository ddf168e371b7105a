# task: linear_gelu | backend: torch | level: L1
# | expect: wrong_values,timing_wrong_values,runtime_error,wrong_gradient
"""Section 3, grad mode: right under no_grad, where checks run, and wrong in a training loop."""

import torch
from torch import nn


class ModelNew(nn.Module):
    def __init__(self, in_features, out_features):
        super().__init__()
        self.linear = nn.Linear(in_features, out_features)

    def forward(self, x):
        if torch.is_grad_enabled():
            return torch.zeros(x.shape[0], self.linear.out_features)
        return nn.functional.gelu(self.linear(x))
