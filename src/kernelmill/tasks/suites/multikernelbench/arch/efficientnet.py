"""EfficientNet (Tan and Le 2019, arXiv 1905.11946) in the benchmark's reduced variants."""

import torch.nn as nn

from kernelmill.tasks.suites.entry import Category, sizes
from kernelmill.tasks.suites.multikernelbench.arch.blocks import conv_bn

tasks = Category("arch")
RUNNING = "normalises by the batch's statistics and updates its running ones at every call"
IMAGES = "torch.rand(batch_size, 3, height, width)"


class MBConv(nn.Module):
    """Pointwise expansion, depthwise convolution, linear pointwise projection; the input is
    added where shapes agree. Ratio 1 has no expansion unless ``always_expand``."""

    def __init__(
        self, in_channels, out_channels, kernel_size, stride, expand_ratio, always_expand=False
    ):
        super().__init__()
        middle = in_channels * expand_ratio
        self.expand = nn.Identity()
        if expand_ratio > 1 or always_expand:
            self.expand = nn.Sequential(*conv_bn(in_channels, middle, 1), nn.ReLU6())
        self.depthwise = nn.Sequential(
            *conv_bn(middle, middle, kernel_size, stride, kernel_size // 2, groups=middle),
            nn.ReLU6(),
        )
        self.project = nn.Sequential(*conv_bn(middle, out_channels, 1))
        self.residual = stride == 1 and in_channels == out_channels

    def forward(self, x):
        y = self.project(self.depthwise(self.expand(x)))
        return x + y if self.residual else y


class EfficientNet(nn.Module):
    """A 3x3 stem, MBConv blocks, a 1x1 convolution, global average pooling, a classifier.

    ``blocks``: the arguments of each.
    """

    def __init__(self, blocks, last, num_classes):
        super().__init__()
        stem = blocks[0][0]
        layers = [*conv_bn(3, stem, 3, stride=2, padding=1), nn.ReLU()]
        layers += [MBConv(*block) for block in blocks]
        self.features = nn.Sequential(*layers, *conv_bn(blocks[-1][1], last, 1), nn.ReLU())
        self.classifier = nn.Linear(last, num_classes)

    def forward(self, x):
        return self.classifier(self.features(x).mean(dim=(2, 3)))


@tasks.add(
    sizes(
        head={
            "batch_size": 10,
            "in_channels": 112,
            "out_channels": 192,
            "kernel_size": 5,
            "stride": 2,
            "expand_ratio": 6,
            "height": 224,
            "width": 224,
        },
        small={
            "batch_size": 4,
            "in_channels": 8,
            "out_channels": 16,
            "height": 28,
            "width": 28,
        },
    ),
    name="efficientnet_mb_conv",
    x="torch.rand(batch_size, in_channels, height, width)",
    kernelbench="L3/21",
    note=RUNNING,
)
class EfficientNetMBConv(nn.Module):
    """MBConv block: pointwise expansion and depthwise convolution with batch norm and ReLU6,
    then a linear pointwise projection with batch norm."""

    def __init__(self, in_channels, out_channels, kernel_size, stride, expand_ratio):
        super().__init__()
        self.block = MBConv(in_channels, out_channels, kernel_size, stride, expand_ratio)

    def forward(self, x):
        return self.block(x)


SMALL = {"batch_size": 4, "num_classes": 10, "height": 64, "width": 64, "shrink": 4, "last": 64}


@tasks.add(
    sizes(head={"batch_size": 10, "num_classes": 1000, "height": 224, "width": 224}, small=SMALL),
    name="efficientnet_b0",
    x=IMAGES,
    kernelbench="L3/22",
    note=RUNNING,
)
class EfficientNetB0(EfficientNet):
    """EfficientNet-B0 without squeeze-and-excitation: a 3x3 stem, MBConv blocks with ReLU6, a
    1x1 convolution, global average pooling and a linear classifier."""

    def __init__(self, num_classes=1000, shrink=1, last=1280):
        blocks = [
            (32, 16, 3, 1, 1), (16, 24, 3, 2, 6), (24, 24, 3, 1, 6), (24, 40, 5, 2, 6),
            (40, 40, 5, 1, 6), (40, 80, 3, 2, 6), (80, 80, 3, 1, 6), (80, 112, 5, 1, 6),
            (112, 112, 5, 1, 6), (112, 192, 5, 2, 6), (192, 192, 5, 1, 6), (192, 192, 5, 1, 6),
            (192, 320, 3, 1, 6),
        ]  # fmt: skip
        blocks = [(before // shrink, after // shrink, *rest) for before, after, *rest in blocks]
        super().__init__(blocks, last, num_classes)


@tasks.add(
    sizes(head={"batch_size": 10, "num_classes": 1000, "height": 240, "width": 240}, small=SMALL),
    name="efficientnet_b1",
    x=IMAGES,
    kernelbench="L3/23",
    note=RUNNING,
)
class EfficientNetB1(EfficientNet):
    """EfficientNet with one MBConv block per stage and no squeeze-and-excitation: a 3x3 stem,
    seven blocks with ReLU6, a 1x1 convolution, global average pooling and a linear classifier."""

    def __init__(self, num_classes=1000, shrink=1, last=1280):
        blocks = [
            (32, 16, 3, 1, 1, True), (16, 24, 3, 2, 6), (24, 40, 3, 2, 6), (40, 80, 3, 2, 6),
            (80, 112, 3, 1, 6), (112, 192, 3, 2, 6), (192, 320, 3, 1, 6),
        ]  # fmt: skip
        blocks = [(before // shrink, after // shrink, *rest) for before, after, *rest in blocks]
        super().__init__(blocks, last, num_classes)


def excitation(channels):
    """The gate of squeeze-and-excitation: (batch, channels, 1, 1) in (0, 1)."""
    return nn.Sequential(
        nn.AdaptiveAvgPool2d(1),
        nn.Conv2d(channels, channels // 4, 1, bias=False),
        nn.ReLU(),
        nn.Conv2d(channels // 4, channels, 1, bias=False),
        nn.Sigmoid(),
    )


class GatedMBConv(nn.Module):
    """3x3 MBConv with squeeze-and-excitation; the gate alone goes on unless ``scale``."""

    def __init__(self, in_channels, out_channels, stride, expand_ratio, scale):
        super().__init__()
        middle = in_channels * expand_ratio
        self.scale = scale
        self.depthwise = nn.Sequential(
            *conv_bn(in_channels, middle, 1),
            nn.ReLU(),
            *conv_bn(middle, middle, 3, stride, padding=1, groups=middle),
            nn.ReLU(),
        )
        self.gate = excitation(middle)
        self.project = nn.Sequential(*conv_bn(middle, out_channels, 1))

    def forward(self, x):
        x = self.depthwise(x)
        gate = self.gate(x)
        return self.project(x * gate if self.scale else gate)


class GatedEfficientNet(nn.Module):
    """A 3x3 stem, five gated MBConv blocks, a 1x1 convolution, global average pooling, a
    classifier."""

    def __init__(self, num_classes, shrink, scale):
        super().__init__()
        blocks = ((32, 96, 1, 3), (96, 144, 2, 6), (144, 192, 2, 6), (192, 288, 2, 6))
        blocks += ((288, 384, 1, 6),)
        last = 1408 // shrink
        layers = [*conv_bn(3, 32 // shrink, 3, stride=2, padding=1), nn.ReLU()]
        for before, after, stride, ratio in blocks:
            layers.append(GatedMBConv(before // shrink, after // shrink, stride, ratio, scale))
        self.features = nn.Sequential(*layers, *conv_bn(384 // shrink, last, 1), nn.ReLU())
        self.classifier = nn.Linear(last, num_classes)

    def forward(self, x):
        return self.classifier(self.features(x).mean(dim=(2, 3)))


B2 = sizes(
    head={"batch_size": 2, "num_classes": 1000, "height": 224, "width": 224},
    small={"batch_size": 8, "num_classes": 10, "height": 32, "width": 32, "shrink": 4},
)


@tasks.add(
    B2,
    name="efficientnet_b2",
    x=IMAGES,
    kernelbench="L3/24",
    note=f"{RUNNING}; each block passes its gate on in place of the gated map, so that all maps "
    "after the first block are single pixels",
)
class EfficientNetB2(GatedEfficientNet):
    """EfficientNet-B2-like: a 3x3 stem, five MBConv blocks with squeeze-and-excitation (whose
    gate replaces the map), a 1x1 convolution, global average pooling and a linear classifier."""

    def __init__(self, num_classes=1000, shrink=1):
        super().__init__(num_classes, shrink, scale=False)


@tasks.add(B2, name="efficientnet_b2", form="repaired", x=IMAGES)
class GatedEfficientNetB2(GatedEfficientNet):
    """The same with maps scaled by their gates."""

    def __init__(self, num_classes=1000, shrink=1):
        super().__init__(num_classes, shrink, scale=True)
