# task: softmax | backend: torch | expect: wrong_structure,wrong_type | level: L0
"""Section 1, structure: nothing is returned."""

import torch
from torch import nn


class ModelNew(nn.Module):
    def forward(self, x):
        self.out = torch.softmax(x, dim=1)
