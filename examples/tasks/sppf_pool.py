"""Spatial pyramid pooling of YOLO detectors: SiLU, three max pools in a row, concatenation."""

import torch
import torch.nn as nn
import torch.nn.functional as F

batch_size = 2
channels = 48
height = 40
width = 40
kernel_size = 5


class Model(nn.Module):
    def __init__(self, kernel_size):
        super().__init__()
        self.pool = nn.MaxPool2d(kernel_size, stride=1, padding=kernel_size // 2)

    def forward(self, x):
        x = F.silu(x)
        y1 = self.pool(x)
        y2 = self.pool(y1)
        y3 = self.pool(y2)
        return torch.cat([x, y1, y2, y3], dim=1)


def get_inputs():
    return [torch.randn(batch_size, channels, height, width)]


def get_init_inputs():
    return [kernel_size]
