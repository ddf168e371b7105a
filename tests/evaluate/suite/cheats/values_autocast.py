# task: linear_gelu | backend: torch | expect: wrong_values,wrong_dtype | level: L1
"""Section 1, precision downgrade: autocast around the reference's own lines."""

import torch
from torch import nn


class ModelNew(nn.Module):
    def __init__(self, in_features, out_features):
        super().__init__()
        self.linear = nn.Linear(in_features, out_features)

    def forward(self, x):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            y = nn.functional.gelu(self.linear(x))
        return y.float()
