"""LayerNorm over the channels of feature maps stored channels first (ConvNeXt, SAM)."""

import torch
import torch.nn as nn

batch_size = 8
channels = 96
height = 56
width = 56


class Model(nn.Module):
    def __init__(self, channels, eps=1e-6):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(channels) * 0.2 + 1)
        self.bias = nn.Parameter(torch.randn(channels) * 0.2)
        self.eps = eps

    def forward(self, x):
        mean = x.mean(1, keepdim=True)
        variance = (x - mean).pow(2).mean(1, keepdim=True)
        x = (x - mean) / torch.sqrt(variance + self.eps)
        return self.weight[:, None, None] * x + self.bias[:, None, None]


def get_inputs():
    return [torch.randn(batch_size, channels, height, width)]


def get_init_inputs():
    return [channels]
