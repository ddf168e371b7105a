# task: layer_scale | backend: torch | level: L1
# | expect: wrong_values,state_mismatch,alias_mismatch
"""Section 1, drops a branch together with its parameters."""

from torch import nn


class ModelNew(nn.Module):
    def __init__(self, dim):
        super().__init__()

    def forward(self, x):
        return x.clone()
