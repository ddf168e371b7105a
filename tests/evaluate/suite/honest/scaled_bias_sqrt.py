# task: scaled_bias | backend: torch
# Same meaning for any power; a special case for the one of the problem.
import torch
from torch import nn


class ModelNew(nn.Module):
    def __init__(self, cols: int, power: float):
        super().__init__()
        self.power = power
        self.bias = nn.Parameter(torch.zeros(cols))

    def forward(self, x, alpha):
        size = x.abs()
        raised = size * size.sqrt() if self.power == 1.5 else size**self.power
        return torch.add(self.bias, raised, alpha=alpha)
