"""3x3 convolution, batch norm with running statistics (inference), residual and ReLU."""

import torch
import torch.nn as nn
import torch.nn.functional as F

batch_size = 4
channels = 64
height = 56
width = 56


class Model(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(channels)
        nn.init.normal_(self.bn.weight, 1.0, 0.2)
        nn.init.normal_(self.bn.bias, 0.0, 0.2)
        self.bn.running_mean.normal_(0.0, 0.2)
        self.bn.running_var.uniform_(0.5, 1.5)

    def forward(self, x):
        bn = self.bn
        y = F.batch_norm(self.conv(x), bn.running_mean, bn.running_var, bn.weight, bn.bias)
        return F.relu(y + x)


def get_inputs():
    return [torch.randn(batch_size, channels, height, width)]


def get_init_inputs():
    return [channels]
