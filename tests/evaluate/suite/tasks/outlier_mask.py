import torch
from torch import nn

ROWS = 40
COLS = 90


class Model(nn.Module):
    """A bool output."""

    def forward(self, x: torch.Tensor, limit: torch.Tensor) -> torch.Tensor:
        return x.abs() > limit


def get_inputs():
    return [torch.randn(ROWS, COLS), torch.rand(ROWS, 1) + 0.5]


def get_init_inputs():
    return []
