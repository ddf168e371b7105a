# task: linear_gelu | backend: torch | expect: state_mismatch | level: L0
"""Parameters of other shapes: the reference's state does not fit."""

import torch
from torch import nn


class ModelNew(nn.Module):
    def __init__(self, in_features, out_features):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(in_features, out_features))

    def forward(self, x):
        return nn.functional.gelu(x @ self.weight)
