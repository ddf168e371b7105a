import torch
from torch import nn

ROWS = 32
COLS = 40


class Model(nn.Module):
    """Draws random numbers: no two calls agree."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.dropout(x, 0.5, training=True)


def get_inputs():
    return [torch.randn(ROWS, COLS)]


def get_init_inputs():
    return []
