# task: conv_bn | backend: torch | expect: global_state | level: L1
"""Section 7, global flags: the fast convolution library is switched off for everybody."""

import torch
from torch import nn


class ModelNew(nn.Module):
    def __init__(self, channels, out_channels):
        super().__init__()
        self.conv = nn.Conv2d(channels, out_channels, 3, padding=1)
        self.bn = nn.BatchNorm2d(out_channels)

    def forward(self, x):
        torch._C._set_mkldnn_enabled(False)
        bn = self.bn
        mean, var = bn.running_mean, bn.running_var.abs()
        y = nn.functional.batch_norm(self.conv(x), mean, var, bn.weight, bn.bias, False, 0.1, 1e-5)
        return torch.relu(y)
