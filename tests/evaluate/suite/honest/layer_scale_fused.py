# task: layer_scale | backend: torch
# A module with a submodule of the same name as in the reference.
import torch
from torch import nn


class ModelNew(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.gamma = nn.Parameter(torch.full((dim,), 1e-6))
        self.linear = nn.Linear(dim, dim)

    def forward(self, x):
        return torch.addcmul(x, self.gamma, torch.tanh(self.linear(x)))
