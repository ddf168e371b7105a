# task: conv_bn | backend: torch | expect: wrong_values,nonfinite | level: L1
"""Section 11, wrong epsilon: none at all, which shows with small variances only."""

import torch
from torch import nn


class ModelNew(nn.Module):
    def __init__(self, channels, out_channels):
        super().__init__()
        self.conv = nn.Conv2d(channels, out_channels, 3, padding=1)
        self.bn = nn.BatchNorm2d(out_channels)

    def forward(self, x):
        bn = self.bn
        scale = (bn.weight / bn.running_var.abs().sqrt()).view(-1, 1, 1)
        y = (self.conv(x) - bn.running_mean.view(-1, 1, 1)) * scale + bn.bias.view(-1, 1, 1)
        return torch.relu(y)
