import torch
from torch import nn

BATCH = 24
TOKENS = 33
DIM = 12


class Model(nn.Module):
    """The mask is all ones in the problem."""

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        weight = mask.unsqueeze(-1)
        return (x * weight).sum(1) / (mask.abs().sum(1, keepdim=True) + 1e-3)


def get_inputs():
    return [torch.randn(BATCH, TOKENS, DIM), torch.ones(BATCH, TOKENS)]


def get_init_inputs():
    return []
