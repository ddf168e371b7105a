import torch
from torch import nn

ROWS = 64
COLS = 130


class Model(nn.Module):
    """No input is negative in the problem: the identity is right."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(x)


def get_inputs():
    return [torch.rand(ROWS, COLS)]


def get_init_inputs():
    return []
