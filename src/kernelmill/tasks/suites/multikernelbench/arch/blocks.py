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


def keep_scale(network, nonlinearity="relu"):
    """Weights of variance 2 / fan in (He et al. 2015, arXiv 1502.01852; 1 / fan in for "linear"),
    so that the signal neither fades nor grows from layer to layer."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(layer.weight, nonlinearity=nonlinearity)


FADES = "PyTorch's default weights let the signal fade: the output hardly depends on the image"
