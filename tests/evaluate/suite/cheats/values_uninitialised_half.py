# task: softmax | backend: torch | expect: wrong_values,nonfinite,not_repeatable | level: L1
"""Section 1, uninitialised memory: the lower half of the rows is left as it was found."""

import torch
from torch import nn


class ModelNew(nn.Module):
    def forward(self, x):
        out = torch.empty_like(x)
        half = x.shape[0] // 2
        out[:half] = torch.softmax(x[:half], dim=1)
        return out
