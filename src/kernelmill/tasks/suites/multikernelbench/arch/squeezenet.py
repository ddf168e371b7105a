"""SqueezeNet (Iandola et al. 2016, arXiv 1602.07360)."""

import torch
import torch.nn as nn
import torch.nn.functional as F

from kernelmill.tasks.suites.entry import Category, sizes
from kernelmill.tasks.suites.multikernelbench.arch.blocks import FADES, keep_scale

tasks = Category("arch")


class Fire(nn.Module):
    """A 1x1 squeeze, then 1x1 and 3x3 expansions side by side; ReLU after each."""

    def __init__(self, in_channels, squeeze, expand1, expand3):
        super().__init__()
        self.squeeze = nn.Conv2d(in_channels, squeeze, 1)
        self.expand1 = nn.Conv2d(squeeze, expand1, 1)
        self.expand3 = nn.Conv2d(squeeze, expand3, 3, padding=1)

    def forward(self, x):
        x = F.relu(self.squeeze(x))
        return F.relu(torch.cat((self.expand1(x), self.expand3(x)), dim=1))


@tasks.add(
    sizes(
        head={
            "batch_size": 128,
            "in_channels": 3,
            "squeeze_channels": 6,
            "expand1x1_channels": 64,
            "expand3x3_channels": 64,
            "height": 256,
            "width": 256,
        },
        paper={"batch_size": 10, "height": 224, "width": 224},
        small={"batch_size": 2, "height": 32, "width": 32},
    ),
    name="squeeze_net_fire_module",
    x="torch.rand(batch_size, in_channels, height, width)",
    kernelbench="L3/17",
)
class FireModule(nn.Module):
    """Fire module: a 1x1 squeeze, then 1x1 and 3x3 expansions concatenated; ReLU after each."""

    def __init__(self, in_channels, squeeze_channels, expand1x1_channels, expand3x3_channels):
        super().__init__()
        self.fire = Fire(in_channels, squeeze_channels, expand1x1_channels, expand3x3_channels)

    def forward(self, x):
        return self.fire(x)


SIZES = sizes(
    head={"batch_size": 64, "num_classes": 1000, "height": 512, "width": 512},
    paper={"batch_size": 1, "height": 224, "width": 224},
    small={"batch_size": 2, "num_classes": 20, "height": 63, "width": 63, "base": 8},
)
X = "torch.rand(batch_size, 3, height, width)"


class Squeeze(nn.Module):
    """Fire modules between a stem and a classifier."""

    def __init__(self, num_classes, base):
        super().__init__()
        # squeeze channels in units of `base`; each expansion has four times as many
        stages = ((1, 1, 2), (2, 3, 3, 4), (4,))
        channels = 6 * base
        layers = [nn.Conv2d(3, channels, 7, stride=2), nn.ReLU()]
        for stage in stages:
            layers.append(nn.MaxPool2d(3, stride=2, ceil_mode=True))
            for factor in stage:
                squeeze = factor * base
                layers.append(Fire(channels, squeeze, 4 * squeeze, 4 * squeeze))
                channels = 8 * squeeze
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(
            nn.Dropout(0.0), nn.Conv2d(channels, num_classes, 1), nn.ReLU()
        )

    def forward(self, x):
        return self.classifier(self.features(x)).mean(dim=(2, 3))


@tasks.add(SIZES, name="squeeze_net", x=X, kernelbench="L3/18", note=FADES)
class SqueezeNet(Squeeze):
    """SqueezeNet 1.0: a 7x7 stem, eight fire modules with three max pools, a 1x1 classifier and
    global average pooling (dropout 0)."""

    def __init__(self, num_classes=1000, base=16):
        super().__init__(num_classes, base)


@tasks.add(SIZES, name="squeeze_net", form="repaired", x=X)
class ScaledSqueezeNet(Squeeze):
    """The same with weights that keep the signal's scale."""

    def __init__(self, num_classes=1000, base=16):
        super().__init__(num_classes, base)
        keep_scale(self)
