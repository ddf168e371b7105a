# task: layer_norm | backend: torch
# The framework's own module: names of the state are those of a submodule.
from torch import nn


class ModelNew(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.norm = nn.LayerNorm(dim)

    def forward(self, x):
        return self.norm(x)
