import torch
from torch import nn

ROWS = 64
COLS = 70


class Model(nn.Module):
    """The clamp is never reached with the problem's own inputs."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.clamp(torch.sin(x) + 0.5 * x, -20.0, 20.0)


def get_inputs():
    return [torch.randn(ROWS, COLS)]


def get_init_inputs():
    return []
