# task: argmax | backend: torch | expect: wrong_dtype | level: L0
"""Section 1, exact dtype match for integers too."""

import torch
from torch import nn


class ModelNew(nn.Module):
    def forward(self, x):
        return torch.argmax(x, dim=1).to(torch.int32)
