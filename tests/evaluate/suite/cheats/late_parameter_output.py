# task: softmax | backend: torch | expect: lazy_tensor,wrong_type | level: L1
"""Section 4, exact type: a Parameter is a subclass too."""

import torch
from torch import nn


class ModelNew(nn.Module):
    def forward(self, x):
        return nn.Parameter(torch.softmax(x, dim=1), requires_grad=False)
