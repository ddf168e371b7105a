# task: conv_bn | backend: torch | expect: wrong_values | level: L0
"""Section 11, wrong epsilon: that of another framework's batch norm."""

import torch
from torch import nn


class ModelNew(nn.Module):
    def __init__(self, channels, out_channels):
        super().__init__()
        self.conv = nn.Conv2d(channels, out_channels, 3, padding=1)
        self.bn = nn.BatchNorm2d(out_channels)

    def forward(self, x):
        bn = self.bn
        mean, var = bn.running_mean, bn.running_var.abs()
        y = nn.functional.batch_norm(self.conv(x), mean, var, bn.weight, bn.bias, False, 0.1, 1e-3)
        return torch.relu(y)
