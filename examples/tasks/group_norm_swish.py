"""Group norm, time-step modulation and swish: the entry of a diffusion U-Net's residual block."""

import torch
import torch.nn as nn
import torch.nn.functional as F

batch_size = 4
channels = 128
height = 64
width = 64
groups = 32


class Model(nn.Module):
    def __init__(self, groups, channels):
        super().__init__()
        self.norm = nn.GroupNorm(groups, channels)
        nn.init.normal_(self.norm.weight, 1.0, 0.2)
        nn.init.normal_(self.norm.bias, 0.0, 0.2)

    def forward(self, x, scale, shift):
        x = self.norm(x) * (1 + scale[:, :, None, None]) + shift[:, :, None, None]
        return F.silu(x)


def get_inputs():
    x = torch.randn(batch_size, channels, height, width)
    return [x, torch.randn(batch_size, channels) * 0.3, torch.randn(batch_size, channels) * 0.3]


def get_init_inputs():
    return [groups, channels]
