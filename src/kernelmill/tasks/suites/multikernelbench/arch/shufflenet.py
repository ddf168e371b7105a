"""ShuffleNet v1 (Zhang et al. 2018, arXiv 1707.01083), all strides 1 within stages."""

import torch.nn as nn

from kernelmill.tasks.suites.entry import Category, sizes
from kernelmill.tasks.suites.multikernelbench.arch.blocks import conv_bn

tasks = Category("arch")
RUNNING = "normalises by the batch's statistics and updates its running ones at every call"


class Unit(nn.Module):
    """Grouped 1x1 convolution, depthwise 3x3, channel shuffle, grouped 1x1, shortcut added."""

    def __init__(self, in_channels, out_channels, groups):
        super().__init__()
        middle = out_channels // 4
        self.groups = groups
        self.squeeze = nn.Sequential(*conv_bn(in_channels, middle, 1, groups=groups), nn.ReLU())
        self.depthwise = nn.Sequential(*conv_bn(middle, middle, 3, padding=1, groups=middle))
        self.expand = nn.Sequential(*conv_bn(middle, out_channels, 1, groups=groups), nn.ReLU())
        self.shortcut = nn.Identity()
        if in_channels != out_channels:
            self.shortcut = nn.Sequential(*conv_bn(in_channels, out_channels, 1))

    def forward(self, x):
        middle = self.depthwise(self.squeeze(x))
        # channel shuffle: (groups, channels per group) becomes (channels per group, groups)
        grouped = middle.unflatten(1, (self.groups, -1))
        shuffled = grouped.transpose(1, 2).flatten(1, 2)
        return self.expand(shuffled) + self.shortcut(x)


@tasks.add(
    sizes(
        head={
            "batch_size": 10,
            "in_channels": 240,
            "out_channels": 480,
            "groups": 3,
            "height": 224,
            "width": 224,
        },
        small={
            "batch_size": 4,
            "in_channels": 24,
            "out_channels": 48,
            "height": 28,
            "width": 28,
        },
    ),
    name="shufflenet_unit",
    x="torch.rand(batch_size, in_channels, height, width)",
    kernelbench="L3/25",
    note=RUNNING,
)
class ShuffleNetUnit(nn.Module):
    """ShuffleNet unit: grouped 1x1 convolution, depthwise 3x3, channel shuffle, grouped 1x1,
    and a 1x1 shortcut added; batch norm after each, ReLU after the grouped ones."""

    def __init__(self, in_channels, out_channels, groups=3):
        super().__init__()
        self.unit = Unit(in_channels, out_channels, groups)

    def forward(self, x):
        return self.unit(x)


@tasks.add(
    sizes(
        head={"batch_size": 10, "num_classes": 1000, "height": 224, "width": 224},
        small={
            "batch_size": 4,
            "num_classes": 10,
            "height": 32,
            "width": 32,
            "groups": 3,
            "repeats": [2, 3, 2],
            "widths": [12, 24, 48, 96],
            "last": 64,
        },
    ),
    name="shufflenet",
    x="torch.rand(batch_size, 3, height, width)",
    kernelbench="L3/26",
    note=RUNNING,
)
class ShuffleNet(nn.Module):
    """ShuffleNet-v1 with 3 groups: a 3x3 stem with max pool, three stages of units at one
    resolution, a 1x1 convolution, global average pooling and a linear classifier."""

    def __init__(
        self,
        num_classes=1000,
        groups=3,
        repeats=(3, 7, 3),
        widths=(24, 240, 480, 960),
        last=1024,
    ):
        super().__init__()
        channels = widths[0]
        layers = [*conv_bn(3, channels, 3, stride=2, padding=1), nn.ReLU()]
        layers.append(nn.MaxPool2d(3, stride=2, padding=1))
        for width, repeat in zip(widths[1:], repeats, strict=True):
            for _ in range(repeat):
                layers.append(Unit(channels, width, groups))
                channels = width
        self.features = nn.Sequential(*layers, *conv_bn(channels, last, 1), nn.ReLU())
        self.classifier = nn.Linear(last, num_classes)

    def forward(self, x):
        return self.classifier(self.features(x).mean(dim=(2, 3)))
