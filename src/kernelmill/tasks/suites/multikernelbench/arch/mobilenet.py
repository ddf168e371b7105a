"""MobileNet v1 (Howard et al. 2017) and v2 (Sandler et al. 2018)."""

import torch.nn as nn

from kernelmill.tasks.suites.entry import Category, sizes
from kernelmill.tasks.suites.multikernelbench.arch.blocks import conv_bn

tasks = Category("arch")
RUNNING = "normalises by the batch's statistics and updates its running ones at every call"


def separable(in_channels, out_channels, stride):
    """A depthwise 3x3 and a pointwise convolution, batch norm and ReLU after each."""
    return nn.Sequential(
        *conv_bn(in_channels, in_channels, 3, stride, padding=1, groups=in_channels),
        nn.ReLU(),
        *conv_bn(in_channels, out_channels, 1),
        nn.ReLU(),
    )


@tasks.add(
    sizes(
        head={
            "batch_size": 10,
            "num_classes": 1000,
            "input_channels": 3,
            "alpha": 1.0,
            "height": 224,
            "width": 224,
        },
        small={"batch_size": 4, "num_classes": 10, "alpha": 0.25, "height": 64, "width": 64},
    ),
    name="mobilenet_v1",
    x="torch.rand(batch_size, input_channels, height, width)",
    kernelbench="L3/19",
    note=RUNNING,
)
class MobileNetV1(nn.Module):
    """MobileNet-v1: a 3x3 stem and 13 depthwise separable convolutions, global average pooling
    and a linear classifier; alpha scales all widths."""

    def __init__(self, num_classes=1000, input_channels=3, alpha=1.0):
        super().__init__()
        plan = (
            (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), (512, 1), (512, 1),
            (512, 1), (512, 1), (512, 1), (1024, 2), (1024, 1),
        )  # fmt: skip
        channels = int(32 * alpha)
        layers = [*conv_bn(input_channels, channels, 3, stride=2, padding=1), nn.ReLU()]
        for width, stride in plan:
            layers.append(separable(channels, int(width * alpha), stride))
            channels = int(width * alpha)
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Linear(channels, num_classes)

    def forward(self, x):
        return self.classifier(self.features(x).mean(dim=(2, 3)))


def inverted_residual(in_channels, out_channels, stride, expand):
    """Pointwise expansion, depthwise 3x3, linear pointwise projection; nothing is added."""
    middle = in_channels * expand
    layers = [*conv_bn(in_channels, middle, 1), nn.ReLU6()] if expand > 1 else []
    return nn.Sequential(
        *layers,
        *conv_bn(middle, middle, 3, stride, padding=1, groups=middle),
        nn.ReLU6(),
        *conv_bn(middle, out_channels, 1),
    )


@tasks.add(
    sizes(
        head={"batch_size": 10, "num_classes": 1000, "height": 224, "width": 224},
        small={
            "batch_size": 4,
            "num_classes": 10,
            "height": 64,
            "width": 64,
            "shrink": 4,
            "last": 64,
        },
    ),
    name="mobilenet_v2",
    x="torch.rand(batch_size, 3, height, width)",
    kernelbench="L3/20",
    note=RUNNING,
)
class MobileNetV2(nn.Module):
    """MobileNet-v2 without its residual additions: a 3x3 stem, 17 inverted bottlenecks with
    ReLU6, a 1x1 convolution, global average pooling and a linear classifier (dropout 0)."""

    def __init__(self, num_classes=1000, shrink=1, last=1280):
        super().__init__()
        # expansion, channels, repeats, stride of the first
        plan = (
            (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1),
            (6, 160, 3, 2), (6, 320, 1, 1),
        )  # fmt: skip
        channels = 32 // shrink
        layers = [*conv_bn(3, channels, 3, stride=2, padding=1), nn.ReLU6()]
        for expand, width, repeats, first in plan:
            for index in range(repeats):
                stride = first if index == 0 else 1
                layers.append(inverted_residual(channels, width // shrink, stride, expand))
                channels = width // shrink
        self.features = nn.Sequential(*layers, *conv_bn(channels, last, 1), nn.ReLU6())
        self.classifier = nn.Sequential(nn.Dropout(0.0), nn.Linear(last, num_classes))

    def forward(self, x):
        return self.classifier(self.features(x).mean(dim=(2, 3)))
