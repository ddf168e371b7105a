"""A stage and head of an InceptionNeXt network (inference): two MetaNeXt blocks with depthwise
branches (identity, 3x3, 1x11, 11x1), batch norm, GELU MLP and layer scale, then global average
pooling and the MLP head with layer norm.

Paper: InceptionNeXt, CVPR 2024. Batch norm uses its running statistics, as a deployed net does.
"""

import torch
import torch.nn as nn
import torch.nn.functional as F

batch_size = 2
channels = 64
height = 28
width = 28
depth = 2
classes = 100


class InceptionDWConv2d(nn.Module):
    def __init__(self, channels, square=3, band=11, ratio=0.125):
        super().__init__()
        g = int(channels * ratio)
        self.split = (channels - 3 * g, g, g, g)
        self.dwconv_hw = nn.Conv2d(g, g, square, padding=square // 2, groups=g)
        self.dwconv_w = nn.Conv2d(g, g, (1, band), padding=(0, band // 2), groups=g)
        self.dwconv_h = nn.Conv2d(g, g, (band, 1), padding=(band // 2, 0), groups=g)

    def forward(self, x):
        identity, hw, w, h = torch.split(x, self.split, dim=1)
        parts = (identity, self.dwconv_hw(hw), self.dwconv_w(w), self.dwconv_h(h))
        return torch.cat(parts, dim=1)


class FrozenBatchNorm2d(nn.BatchNorm2d):
    """Batch norm that always uses its running statistics."""

    def __init__(self, channels):
        super().__init__(channels)
        nn.init.normal_(self.weight, 1.0, 0.2)
        nn.init.normal_(self.bias, 0.0, 0.2)
        self.running_mean.normal_(0.0, 0.3)
        self.running_var.uniform_(0.5, 1.5)

    def forward(self, x):
        return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias)


class ConvMlp(nn.Module):
    def __init__(self, channels, ratio=4):
        super().__init__()
        self.fc1 = nn.Conv2d(channels, ratio * channels, 1)
        self.fc2 = nn.Conv2d(ratio * channels, channels, 1)

    def forward(self, x):
        return self.fc2(F.gelu(self.fc1(x)))


class MetaNeXtBlock(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.token_mixer = InceptionDWConv2d(channels)
        self.norm = FrozenBatchNorm2d(channels)
        self.mlp = ConvMlp(channels)
        self.gamma = nn.Parameter(torch.randn(channels) * 0.5)

    def forward(self, x):
        y = self.mlp(self.norm(self.token_mixer(x)))
        return x + self.gamma[:, None, None] * y


class MlpHead(nn.Module):
    def __init__(self, channels, classes, ratio=3):
        super().__init__()
        self.fc1 = nn.Linear(channels, ratio * channels)
        self.norm = nn.LayerNorm(ratio * channels, eps=1e-6)
        self.fc2 = nn.Linear(ratio * channels, classes)

    def forward(self, x):
        x = x.mean((2, 3))
        return self.fc2(self.norm(F.gelu(self.fc1(x))))


class Model(nn.Module):
    def __init__(self, channels, depth, classes):
        super().__init__()
        self.blocks = nn.Sequential(*(MetaNeXtBlock(channels) for _ in range(depth)))
        self.head = MlpHead(channels, classes)

    def forward(self, x):
        return self.head(self.blocks(x))


def get_inputs():
    return [torch.randn(batch_size, channels, height, width)]


def get_init_inputs():
    return [channels, depth, classes]
