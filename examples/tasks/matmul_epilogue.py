"""Linear layer with bias, GELU, a learned gate and a residual addition."""

import torch
import torch.nn as nn
import torch.nn.functional as F

rows = 256
in_features = 512
out_features = 1024


class Model(nn.Module):
    def __init__(self, in_features, out_features):
        super().__init__()
        self.linear = nn.Linear(in_features, out_features)
        self.gate = nn.Parameter(torch.randn(out_features))

    def forward(self, x, residual):
        return residual + F.gelu(self.linear(x)) * torch.sigmoid(self.gate)


def get_inputs():
    return [torch.randn(rows, in_features), torch.randn(rows, out_features)]


def get_init_inputs():
    return [in_features, out_features]
