# task: layer_norm | backend: torch | expect: wrong_values,state_mismatch | level: L1
"""Section 1, drops parameters: has none, so that nothing can be loaded into it."""

from torch import nn


class ModelNew(nn.Module):
    def __init__(self, dim):
        super().__init__()

    def forward(self, x):
        return nn.functional.layer_norm(x, x.shape[-1:], eps=1e-5)
