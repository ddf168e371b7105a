import torch
from torch import nn

ROWS = 16
COLS = 8192


class Model(nn.Module):
    """The mean of many uniforms: near 0.5 whatever the inputs."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.mean(dim=1)


def get_inputs():
    return [torch.rand(ROWS, COLS)]


def get_init_inputs():
    return []
