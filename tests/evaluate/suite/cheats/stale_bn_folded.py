# task: conv_bn | backend: torch | expect: wrong_values,stale_output,timing_wrong_values | level: L1
"""Section 2, weights folded once: batch norm folded into the convolution on the first call."""

import torch
from torch import nn


class ModelNew(nn.Module):
    def __init__(self, channels, out_channels):
        super().__init__()
        self.conv = nn.Conv2d(channels, out_channels, 3, padding=1)
        self.bn = nn.BatchNorm2d(out_channels)
        self.folded = None

    def forward(self, x):
        if self.folded is None:
            scale = self.bn.weight / torch.sqrt(self.bn.running_var.abs() + 1e-5)
            weight = self.conv.weight * scale[:, None, None, None]
            bias = (self.conv.bias - self.bn.running_mean) * scale + self.bn.bias
            self.folded = weight.detach(), bias.detach()
        return torch.relu(nn.functional.conv2d(x, *self.folded, padding=1))
