"""VGG (Simonyan and Zisserman 2015, arXiv 1409.1556)."""

import torch
import torch.nn as nn

from kernelmill.tasks.suites.entry import Category, sizes
from kernelmill.tasks.suites.multikernelbench.arch.blocks import FADES, keep_scale

tasks = Category("arch")
SIZES = sizes(
    head={"batch_size": 10, "num_classes": 1000, "image_size": 224},
    small={
        "batch_size": 4,
        "num_classes": 10,
        "image_size": 64,
        "base": 8,
        "hidden": 64,
        "grid": 2,
    },
)
X = "torch.rand(batch_size, 3, image_size, image_size)"


class VGG(nn.Module):
    """Five stages of 3x3 convolutions, each followed by a 2x2 max pool, and three linear layers.

    ``grid`` is the side of the last feature map.
    """

    def __init__(self, depths, num_classes, base, hidden, grid):
        super().__init__()
        layers, channels = [], 3
        for depth, factor in zip(depths, (1, 2, 4, 8, 8), strict=True):
            for _ in range(depth):
                layers += [nn.Conv2d(channels, factor * base, 3, padding=1), nn.ReLU()]
                channels = factor * base
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(
            nn.Linear(channels * grid * grid, hidden),
            nn.ReLU(),
            nn.Dropout(0.0),
            nn.Linear(hidden, hidden),
            nn.ReLU(),
            nn.Dropout(0.0),
            nn.Linear(hidden, num_classes),
        )

    def forward(self, x):
        return self.classifier(torch.flatten(self.features(x), 1))


@tasks.add(SIZES, name="vgg16", x=X, kernelbench="L3/11", note=FADES)
class VGG16(VGG):
    """VGG-16: 13 convolutions of 3x3, five max pools, three linear layers (dropout 0)."""

    def __init__(self, num_classes=1000, base=64, hidden=4096, grid=7):
        super().__init__((2, 2, 3, 3, 3), num_classes, base, hidden, grid)


@tasks.add(SIZES, name="vgg16", form="repaired", x=X)
class ScaledVGG16(VGG):
    """The same with weights that keep the signal's scale."""

    def __init__(self, num_classes=1000, base=64, hidden=4096, grid=7):
        super().__init__((2, 2, 3, 3, 3), num_classes, base, hidden, grid)
        keep_scale(self)


@tasks.add(SIZES, name="vgg19", x=X, kernelbench="L3/12", note=FADES)
class VGG19(VGG):
    """VGG-19: 16 convolutions of 3x3, five max pools, three linear layers (dropout 0)."""

    def __init__(self, num_classes=1000, base=64, hidden=4096, grid=7):
        super().__init__((2, 2, 4, 4, 4), num_classes, base, hidden, grid)


@tasks.add(SIZES, name="vgg19", form="repaired", x=X)
class ScaledVGG19(VGG):
    """The same with weights that keep the signal's scale."""

    def __init__(self, num_classes=1000, base=64, hidden=4096, grid=7):
        super().__init__((2, 2, 4, 4, 4), num_classes, base, hidden, grid)
        keep_scale(self)
