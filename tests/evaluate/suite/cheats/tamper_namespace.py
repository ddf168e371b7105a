# task: softmax | backend: torch | expect: wrong_values | level: L2
"""Section 5, namespace games: redefines the problem next to the candidate."""

import torch
from torch import nn

ROWS = COLS = 1


class Model(nn.Module):
    def forward(self, x):
        return torch.zeros_like(x)


def get_inputs():
    return [torch.zeros(ROWS, COLS)]


def get_init_inputs():
    return []


ModelNew = Model
