# task: softmax | backend: torch | level: L2
# | expect: input_modified,wrong_shape,patched,runtime_error
"""Section 1, input aliasing: the caller's tensor object gets other storage and another shape."""

import torch
from torch import nn


class ModelNew(nn.Module):
    def forward(self, x):
        out = torch.softmax(x, dim=1)
        x.data = torch.zeros(1)
        return out
