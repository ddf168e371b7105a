# task: relu_uniform | backend: torch | expect: wrong_values,alias_mismatch | level: L0
"""Section 1, identity without even a copy."""

from torch import nn


class ModelNew(nn.Module):
    def forward(self, x):
        return x
