import torch
from torch import nn

ROWS = 4
COLS = 16384


class Model(nn.Module):
    """Every output is near 1 / COLS: far below a bare absolute tolerance."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.softmax(x, dim=1)


def get_inputs():
    return [torch.rand(ROWS, COLS)]


def get_init_inputs():
    return []
