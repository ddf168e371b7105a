# task: conv_bn | backend: torch | expect: wrong_values | level: L0
"""Section 1, drops parameters: fresh batch-norm statistics are 0 and 1."""

import torch
from torch import nn


class ModelNew(nn.Module):
    def __init__(self, channels, out_channels):
        super().__init__()
        self.conv = nn.Conv2d(channels, out_channels, 3, padding=1)
        self.bn = nn.BatchNorm2d(out_channels)

    def forward(self, x):
        return torch.relu(self.conv(x) * (1 + 1e-5) ** -0.5)
