"""Building blocks that several families share."""

import torch.nn as nn


def conv_bn(in_channels, out_channels, kernel_size, stride=1, padding=0, groups=1):
    """Convolution without bias and batch norm, as a list of layers."""
    return [
        nn.Conv2d(
            in_channels, out_channels, kernel_size, stride, padding, groups=groups, bias=False
        ),
        nn.BatchNorm2d(out_channels),
    ]
