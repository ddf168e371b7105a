# task: linear_gelu | backend: torch | expect: wrong_values | level: L1
"""Section 1, approximate maths: a low-rank copy of the weight."""

import torch
from torch import nn


class ModelNew(nn.Module):
    def __init__(self, in_features, out_features):
        super().__init__()
        self.linear = nn.Linear(in_features, out_features)

    def forward(self, x):
        u, s, v = torch.linalg.svd(self.linear.weight.detach(), full_matrices=False)
        rank = s.numel() * 3 // 4
        weight = (u[:, :rank] * s[:rank]) @ v[:rank]
        return nn.functional.gelu(x @ weight.t() + self.linear.bias)
