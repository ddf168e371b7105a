# task: softmax | backend: torch | level: L1
# | expect: wrong_type,wrong_structure,lazy_tensor,runtime_error
"""Section 1, structure: a tensor without memory."""

import torch
from torch import nn


class ModelNew(nn.Module):
    def forward(self, x):
        return torch.empty_like(x, device="meta")
