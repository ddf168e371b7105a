# task: linear_gelu | backend: torch
# Works in place on its own temporaries.
import math

from torch import nn


class ModelNew(nn.Module):
    def __init__(self, in_features, out_features):
        super().__init__()
        self.linear = nn.Linear(in_features, out_features)

    def forward(self, x):
        y = self.linear(x)
        gate = (y * (1 / math.sqrt(2))).erf_()
        return gate.add_(1).mul_(y).mul_(0.5)
