# task: linear_gelu | backend: torch | expect: wrong_values | level: L1
"""Section 1, approximate maths: tanh GELU for erf GELU."""

from torch import nn


class ModelNew(nn.Module):
    def __init__(self, in_features, out_features):
        super().__init__()
        self.linear = nn.Linear(in_features, out_features)

    def forward(self, x):
        return nn.functional.gelu(self.linear(x), approximate="tanh")
