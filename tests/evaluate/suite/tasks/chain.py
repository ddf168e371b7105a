import torch
from torch import nn

BATCH = 64
DIM = 128


class Model(nn.Module):
    """Much work for few bytes: what a stored answer would save is visible on the clock."""

    def forward(self, x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        for _ in range(12):
            x = torch.tanh(x @ w * 0.125)
        return x


def get_inputs():
    return [torch.randn(BATCH, DIM), torch.randn(DIM, DIM)]


def get_init_inputs():
    return []
