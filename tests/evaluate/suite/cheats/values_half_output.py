# task: softmax | backend: torch | expect: wrong_dtype | level: L0
"""Section 1, a low-precision dtype returned: equal after a cast."""

import torch
from torch import nn


class ModelNew(nn.Module):
    def forward(self, x):
        return torch.softmax(x, dim=1).half()
