"""Instance norm with affine weights, Mish and average pooling (style and image-to-image nets)."""

import torch
import torch.nn as nn
import torch.nn.functional as F

batch_size = 4
channels = 48
height = 96
width = 96


class Model(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.norm = nn.InstanceNorm2d(channels, affine=True)
        nn.init.normal_(self.norm.weight, 1.0, 0.2)
        nn.init.normal_(self.norm.bias, 0.0, 0.2)
        self.pool = nn.AvgPool2d(2)

    def forward(self, x):
        return self.pool(F.mish(self.norm(x)))


def get_inputs():
    return [torch.randn(batch_size, channels, height, width)]


def get_init_inputs():
    return [channels]
