# task: linear_gelu | backend: torch | expect: patched,wrong_values | level: L2
"""Section 5: patches torch.nn.functional under the reference."""

import torch
from torch import nn

nn.functional.gelu = lambda x, approximate="none": x * 0
nn.functional.linear = torch.nn.functional.linear


class ModelNew(nn.Module):
    def __init__(self, in_features, out_features):
        super().__init__()
        self.linear = nn.Linear(in_features, out_features)

    def forward(self, x):
        return torch.zeros(x.shape[0], self.linear.out_features)
