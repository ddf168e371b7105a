# task: inplace | backend: torch | expect: input_modified | level: L1
"""Section 1, input aliasing: the reference changes its input and the candidate does not."""

import torch
from torch import nn


class ModelNew(nn.Module):
    def forward(self, x):
        return torch.tanh(x * 1.5 + 0.25)
