import torch
from torch import nn

BATCH = 32
DIM = 64


class Model(nn.Module):
    """A residual branch that is invisible with the initial layer scale of 1e-6."""

    def __init__(self, dim: int):
        super().__init__()
        self.linear = nn.Linear(dim, dim)
        self.gamma = nn.Parameter(torch.full((dim,), 1e-6))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.gamma * torch.tanh(self.linear(x))


def get_inputs():
    return [torch.randn(BATCH, DIM)]


def get_init_inputs():
    return [DIM]
