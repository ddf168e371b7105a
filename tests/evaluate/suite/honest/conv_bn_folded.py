# task: conv_bn | backend: torch
# Folds the normalisation into the convolution anew in each call.
import torch
from torch import nn


class ModelNew(nn.Module):
    def __init__(self, channels, out_channels):
        super().__init__()
        self.conv = nn.Conv2d(channels, out_channels, 3, padding=1)
        self.bn = nn.BatchNorm2d(out_channels)

    def forward(self, x):
        scale = self.bn.weight * torch.rsqrt(self.bn.running_var.abs() + 1e-5)
        weight = self.conv.weight * scale.view(-1, 1, 1, 1)
        bias = (self.conv.bias - self.bn.running_mean) * scale + self.bn.bias
        return nn.functional.conv2d(x, weight, bias, padding=1).relu_()
