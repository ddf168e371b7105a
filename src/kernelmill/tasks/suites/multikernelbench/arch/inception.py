"""GoogLeNet (Szegedy et al. 2015, arXiv 1409.4842)."""

import torch
import torch.nn as nn
import torch.nn.functional as F

from kernelmill.tasks.suites.entry import Category, sizes
from kernelmill.tasks.suites.multikernelbench.arch.blocks import FADES, keep_scale

tasks = Category("arch")


class Inception(nn.Module):
    """Branches of 1x1, 1x1-3x3, 1x1-5x5 and pool-1x1, concatenated; no activations.

    ``widths``: channels of the 1x1 branch, before and of the 3x3, before and of the 5x5, and of
    the pooled branch.
    """

    def __init__(self, in_channels, widths):
        super().__init__()
        w1, before3, w3, before5, w5, pooled = widths
        self.branch1 = nn.Conv2d(in_channels, w1, 1)
        self.branch3 = nn.Sequential(
            nn.Conv2d(in_channels, before3, 1), nn.Conv2d(before3, w3, 3, padding=1)
        )
        self.branch5 = nn.Sequential(
            nn.Conv2d(in_channels, before5, 1), nn.Conv2d(before5, w5, 5, padding=2)
        )
        self.branch_pool = nn.Sequential(
            nn.MaxPool2d(3, stride=1, padding=1), nn.Conv2d(in_channels, pooled, 1)
        )

    def forward(self, x):
        branches = (self.branch1, self.branch3, self.branch5, self.branch_pool)
        return torch.cat([branch(x) for branch in branches], dim=1)


@tasks.add(
    sizes(
        head={
            "batch_size": 10,
            "in_channels": 480,
            "out_1x1": 192,
            "reduce_3x3": 96,
            "out_3x3": 208,
            "reduce_5x5": 16,
            "out_5x5": 48,
            "pool_proj": 64,
            "height": 224,
            "width": 224,
        },
        small={
            "batch_size": 2,
            "in_channels": 48,
            "out_1x1": 24,
            "reduce_3x3": 12,
            "out_3x3": 26,
            "reduce_5x5": 4,
            "out_5x5": 6,
            "pool_proj": 8,
            "height": 28,
            "width": 28,
        },
    ),
    name="googlenet_inception_module",
    x="torch.rand(batch_size, in_channels, height, width)",
    kernelbench="L3/6",
)
class InceptionModule(nn.Module):
    """Inception module: branches of 1x1, 1x1-3x3, 1x1-5x5 and pool-1x1 convolutions,
    concatenated (no activations)."""

    def __init__(self, in_channels, out_1x1, reduce_3x3, out_3x3, reduce_5x5, out_5x5, pool_proj):
        super().__init__()
        widths = (out_1x1, reduce_3x3, out_3x3, reduce_5x5, out_5x5, pool_proj)
        self.module = Inception(in_channels, widths)

    def forward(self, x):
        return self.module(x)


SIZES = sizes(
    head={"batch_size": 10, "num_classes": 1000, "height": 224, "width": 224},
    small={"batch_size": 2, "num_classes": 10, "height": 64, "width": 64, "shrink": 8},
)
X = "torch.rand(batch_size, 3, height, width)"


class GoogLeNet(nn.Module):
    """Inception modules between a stem and a classifier."""

    def __init__(self, num_classes, shrink):
        super().__init__()
        stages = (
            ((64, 96, 128, 16, 32, 32), (128, 128, 192, 32, 96, 64)),
            (
                (192, 96, 208, 16, 48, 64),
                (160, 112, 224, 24, 64, 64),
                (128, 128, 256, 24, 64, 64),
                (112, 144, 288, 32, 64, 64),
                (256, 160, 320, 32, 128, 128),
            ),
            ((256, 160, 320, 32, 128, 128), (384, 192, 384, 48, 128, 128)),
        )
        stem, channels = 64 // shrink, 192 // shrink
        self.stem = nn.Sequential(
            nn.Conv2d(3, stem, 7, stride=2, padding=3),
            nn.ReLU(),
            nn.MaxPool2d(3, stride=2, padding=1),
            nn.Conv2d(stem, stem, 1),
            nn.ReLU(),
            nn.Conv2d(stem, channels, 3, padding=1),
            nn.ReLU(),
        )
        self.stages = nn.ModuleList()
        for modules in stages:
            stage = []
            for widths in modules:
                widths = [width // shrink for width in widths]
                stage.append(Inception(channels, widths))
                channels = widths[0] + widths[2] + widths[4] + widths[5]
            self.stages.append(nn.Sequential(*stage))
        self.classifier = nn.Sequential(nn.Dropout(0.0), nn.Linear(channels, num_classes))

    def forward(self, x):
        x = self.stem(x)
        for stage in self.stages:
            x = stage(F.max_pool2d(x, 3, stride=2, padding=1))
        return self.classifier(x.mean(dim=(2, 3)))


@tasks.add(SIZES, name="googlenet_inception_v1", x=X, kernelbench="L3/7", note=FADES)
class InceptionV1(GoogLeNet):
    """GoogLeNet: a stem, nine inception modules with max pools between them, global average
    pooling and a linear classifier (dropout 0, no auxiliary classifiers)."""

    def __init__(self, num_classes=1000, shrink=1):
        super().__init__(num_classes, shrink)


@tasks.add(SIZES, name="googlenet_inception_v1", form="repaired", x=X)
class ScaledInceptionV1(GoogLeNet):
    """The same with weights that keep the signal's scale; most layers are linear."""

    def __init__(self, num_classes=1000, shrink=1):
        super().__init__(num_classes, shrink)
        keep_scale(self, "linear")
