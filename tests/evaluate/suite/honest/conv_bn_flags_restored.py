# task: conv_bn | backend: torch
# Flags that are changed inside a call and put back before it ends.
import torch
from torch import nn


class ModelNew(nn.Module):
    def __init__(self, channels, out_channels):
        super().__init__()
        self.conv = nn.Conv2d(channels, out_channels, 3, padding=1)
        self.bn = nn.BatchNorm2d(out_channels)

    def forward(self, x):
        bn = self.bn
        with (
            torch.backends.mkldnn.flags(enabled=False),
            torch.autograd.profiler.record_function("y"),
        ):
            y = self.conv(x)
        mean, var = bn.running_mean, bn.running_var.abs()
        y = nn.functional.batch_norm(y, mean, var, bn.weight, bn.bias, False, 0.1, 1e-5)
        return y.clamp_min(0)
