# task: gru | backend: torch | expect: wrong_values | level: L1
"""Section 1, ignores part of the input: the initial state is zero."""

import torch
from torch import nn


class ModelNew(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.cell = nn.GRUCell(dim, dim)

    def forward(self, x, h):
        cell = self.cell
        gates = nn.functional.linear(x, cell.weight_ih, cell.bias_ih)
        r, z, n = gates.chunk(3, dim=1)
        hr, hz, hn = cell.bias_hh.chunk(3)
        r, z = torch.sigmoid(r + hr), torch.sigmoid(z + hz)
        return (1 - z) * torch.tanh(n + r * hn)
