import torch
from torch import nn

ROWS = 48
COLS = 65


class Model(nn.Module):
    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return (x * 0.125).masked_fill(mask, float("-inf"))


def get_inputs():
    return [torch.randn(ROWS, COLS), torch.rand(ROWS, COLS) < 0.3]


def get_init_inputs():
    return []
