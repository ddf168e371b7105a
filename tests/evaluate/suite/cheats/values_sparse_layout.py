# task: relu_uniform | backend: torch | level: L1
# | expect: wrong_type,wrong_structure,lazy_tensor,runtime_error
"""Section 1, structure: a sparse tensor of the right shape and dtype."""

import torch
from torch import nn


class ModelNew(nn.Module):
    def forward(self, x):
        return torch.relu(x).to_sparse()
