"""Pooling chain of a convolutional stem: scale and shift, ReLU, max pool, then average pool."""

import torch
import torch.nn as nn
import torch.nn.functional as F

batch_size = 4
channels = 32
height = 112
width = 112


class Model(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.scale = nn.Parameter(torch.randn(channels, 1, 1))
        self.shift = nn.Parameter(torch.randn(channels, 1, 1))

    def forward(self, x):
        x = F.relu(x * self.scale + self.shift)
        x = F.max_pool2d(x, 3, stride=2, padding=1)
        return F.avg_pool2d(x, 2, stride=2)


def get_inputs():
    return [torch.randn(batch_size, channels, height, width)]


def get_init_inputs():
    return [channels]
