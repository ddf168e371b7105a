import torch
from torch import nn

ROWS = 32
COLS = 40


class Model(nn.Module):
    """Zero for mathematical reasons: a mean over one element is subtracted."""

    def __init__(self, cols: int):
        super().__init__()
        self.linear = nn.Linear(cols, cols)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = torch.max(self.linear(x), dim=1, keepdim=True).values
        y = y - y.mean(dim=1, keepdim=True)
        return nn.functional.gelu(y)


def get_inputs():
    return [torch.randn(ROWS, COLS)]


def get_init_inputs():
    return [COLS]
