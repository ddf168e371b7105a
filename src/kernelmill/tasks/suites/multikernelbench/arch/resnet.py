"""ResNet (He et al. 2016, arXiv 1512.03385) and the plain stages after RegNet."""

import torch.nn as nn
import torch.nn.functional as F

from kernelmill.tasks.suites.entry import Category, sizes
from kernelmill.tasks.suites.multikernelbench.arch.blocks import conv_bn

tasks = Category("arch")
RUNNING = "normalises by the batch's statistics and updates its running ones at every call"
IMAGES = "torch.rand(batch_size, 3, height, width)"


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut."""

    def __init__(self, in_channels, out_channels, stride, project):
        super().__init__()
        self.branch = nn.Sequential(
            *conv_bn(in_channels, out_channels, 3, stride, padding=1),
            nn.ReLU(),
            *conv_bn(out_channels, out_channels, 3, padding=1),
        )
        self.shortcut = nn.Identity()
        if project:
            self.shortcut = nn.Sequential(*conv_bn(in_channels, out_channels, 1, stride))

    def forward(self, x):
        return F.relu(self.branch(x) + self.shortcut(x))


class Bottleneck(nn.Module):
    """A 3x3 convolution between two 1x1 convolutions, and a shortcut."""

    def __init__(self, in_channels, out_channels, stride, project):
        super().__init__()
        middle = out_channels // 4
        self.branch = nn.Sequential(
            *conv_bn(in_channels, middle, 1),
            nn.ReLU(),
            *conv_bn(middle, middle, 3, stride, padding=1),
            nn.ReLU(),
            *conv_bn(middle, out_channels, 1),
        )
        self.shortcut = nn.Identity()
        if project:
            self.shortcut = nn.Sequential(*conv_bn(in_channels, out_channels, 1, stride))

    def forward(self, x):
        return F.relu(self.branch(x) + self.shortcut(x))


class ResNet(nn.Module):
    """A 7x7 stem, four stages of blocks of doubling width, and a linear classifier."""

    def __init__(self, block, depths, widths, stem, num_classes):
        super().__init__()
        self.stem = nn.Sequential(
            *conv_bn(3, stem, 7, stride=2, padding=3), nn.ReLU(), nn.MaxPool2d(3, 2, padding=1)
        )
        blocks, channels = [], stem
        for stage, (depth, width) in enumerate(zip(depths, widths, strict=True)):
            for index in range(depth):
                stride = 2 if stage > 0 and index == 0 else 1
                project = stride > 1 or channels != width
                blocks.append(block(channels, width, stride, project))
                channels = width
        self.stages = nn.Sequential(*blocks)
        self.classifier = nn.Linear(channels, num_classes)

    def forward(self, x):
        features = self.stages(self.stem(x))
        return self.classifier(features.mean(dim=(2, 3)))


@tasks.add(
    sizes(
        head={
            "batch_size": 10,
            "in_channels": 3,
            "out_channels": 64,
            "stride": 1,
            "height": 224,
            "width": 224,
        },
        small={"batch_size": 4, "out_channels": 16, "height": 32, "width": 32},
    ),
    name="resnet_basic_block",
    x="torch.rand(batch_size, in_channels, height, width)",
    kernelbench="L3/8",
    note=RUNNING,
)
class ResNetBasicBlock(nn.Module):
    """ResNet's basic block: ReLU(BN(conv3x3(ReLU(BN(conv3x3(x))))) + BN(conv1x1(x)))."""

    def __init__(self, in_channels, out_channels, stride=1):
        super().__init__()
        self.block = BasicBlock(in_channels, out_channels, stride, project=True)

    def forward(self, x):
        return self.block(x)


@tasks.add(
    sizes(
        head={"batch_size": 2, "num_classes": 1000, "height": 224, "width": 224},
        small={"batch_size": 4, "num_classes": 10, "height": 64, "width": 64, "stem": 16},
    ),
    name="resnet18",
    x=IMAGES,
    kernelbench="L3/9",
    note=RUNNING,
)
class ResNet18(ResNet):
    """ResNet-18: basic blocks, two in each of the four stages."""

    def __init__(self, num_classes=1000, stem=64):
        widths = [stem, 2 * stem, 4 * stem, 8 * stem]
        super().__init__(BasicBlock, [2, 2, 2, 2], widths, stem, num_classes)


@tasks.add(
    sizes(
        head={
            "batch_size": 10,
            "layers": [3, 4, 23, 3],
            "num_classes": 1000,
            "height": 224,
            "width": 224,
        },
        small={
            "batch_size": 4,
            "layers": [1, 2, 3, 1],
            "num_classes": 10,
            "height": 64,
            "width": 64,
            "stem": 8,
        },
    ),
    name="resnet101",
    x=IMAGES,
    kernelbench="L3/10",
    note=RUNNING,
)
class ResNet101(ResNet):
    """ResNet-101: bottleneck blocks, 3, 4, 23 and 3 in the four stages."""

    def __init__(self, layers, num_classes=1000, stem=64):
        widths = [4 * stem, 8 * stem, 16 * stem, 32 * stem]
        super().__init__(Bottleneck, layers, widths, stem, num_classes)


@tasks.add(
    sizes(
        head={
            "batch_size": 8,
            "input_channels": 3,
            "stages": 3,
            "block_widths": [64, 128, 256],
            "output_classes": 10,
            "height": 224,
            "width": 224,
        },
        small={"batch_size": 4, "block_widths": [8, 16, 32], "height": 32, "width": 32},
    ),
    name="regnet",
    x="torch.rand(batch_size, input_channels, height, width)",
    kernelbench="L3/27",
    note=RUNNING,
)
class RegNet(nn.Module):
    """Stages of two 3x3 convolutions (each with batch norm and ReLU) and a 2x2 max pool, then
    the mean over the image and a linear classifier."""

    def __init__(self, input_channels, stages, block_widths, output_classes):
        super().__init__()
        layers, channels = [], input_channels
        for width in block_widths[:stages]:
            for before in (channels, width):
                layers += [nn.Conv2d(before, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU()]
            layers.append(nn.MaxPool2d(2))
            channels = width
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Linear(channels, output_classes)

    def forward(self, x):
        return self.classifier(self.features(x).mean(dim=(2, 3)))
