"""DenseNet (Huang et al. 2017, arXiv 1608.06993) without bottlenecks in its blocks."""

import torch
import torch.nn as nn

from kernelmill.tasks.suites.entry import Category, sizes
from kernelmill.tasks.suites.multikernelbench.arch.blocks import conv_bn

tasks = Category("arch")
RUNNING = "normalises by the batch's statistics and updates its running ones at every call"
IMAGES = "torch.rand(batch_size, 3, height, width)"


class DenseBlock(nn.Module):
    """Each layer sees the concatenation of the input and of all layers before."""

    def __init__(self, num_layers, in_channels, growth_rate):
        super().__init__()
        self.layers = nn.ModuleList()
        for index in range(num_layers):
            channels = in_channels + index * growth_rate
            self.layers.append(
                nn.Sequential(
                    nn.BatchNorm2d(channels),
                    nn.ReLU(),
                    nn.Conv2d(channels, growth_rate, 3, padding=1, bias=False),
                    nn.Dropout(0.0),
                )
            )

    def forward(self, x):
        for layer in self.layers:
            x = torch.cat((x, layer(x)), dim=1)
        return x


def transition(in_channels, out_channels):
    """Between two dense blocks: fewer channels, half the side."""
    return nn.Sequential(
        nn.BatchNorm2d(in_channels),
        nn.ReLU(),
        nn.Conv2d(in_channels, out_channels, 1, bias=False),
        nn.AvgPool2d(2),
    )


class DenseNet(nn.Module):
    """A 7x7 stem, dense blocks with transitions that halve the channels, a linear classifier."""

    def __init__(self, depths, growth_rate, num_classes, stem):
        super().__init__()
        layers = [*conv_bn(3, stem, 7, stride=2, padding=3), nn.ReLU()]
        layers.append(nn.MaxPool2d(3, stride=2, padding=1))
        channels = stem
        for index, depth in enumerate(depths):
            layers.append(DenseBlock(depth, channels, growth_rate))
            channels += depth * growth_rate
            if index + 1 < len(depths):
                layers.append(transition(channels, channels // 2))
                channels //= 2
        self.features = nn.Sequential(*layers, nn.BatchNorm2d(channels), nn.ReLU())
        self.classifier = nn.Linear(channels, num_classes)

    def forward(self, x):
        return self.classifier(self.features(x).mean(dim=(2, 3)))


@tasks.add(
    sizes(
        head={
            "batch_size": 10,
            "num_layers": 6,
            "num_input_features": 32,
            "growth_rate": 32,
            "height": 224,
            "width": 224,
        },
        small={
            "batch_size": 2,
            "num_input_features": 8,
            "growth_rate": 8,
            "height": 28,
            "width": 28,
        },
    ),
    name="densenet121_dense_block",
    x="torch.rand(batch_size, num_input_features, height, width)",
    kernelbench="L3/14",
    note=RUNNING,
)
class DenseNet121DenseBlock(nn.Module):
    """Dense block: each layer, conv3x3(ReLU(BN(x))), sees the concatenation of the input and of
    all layers before."""

    def __init__(self, num_layers, num_input_features, growth_rate):
        super().__init__()
        self.block = DenseBlock(num_layers, num_input_features, growth_rate)

    def forward(self, x):
        return self.block(x)


@tasks.add(
    sizes(
        head={
            "batch_size": 128,
            "num_input_features": 32,
            "num_output_features": 64,
            "height": 256,
            "width": 256,
        },
        paper={"batch_size": 10, "height": 224, "width": 224},
        small={"batch_size": 4, "height": 32, "width": 32},
    ),
    x="torch.rand(batch_size, num_input_features, height, width)",
    signature="num_input_features, num_output_features",
    layers={"transition": "transition(num_input_features, num_output_features)"},
    kernelbench="L3/13",
    note=RUNNING,
)
def densenet121_transition_layer(self, x):
    """DenseNet's transition: batch norm, ReLU, 1x1 convolution, 2x2 average pool."""
    return self.transition(x)


SMALL = {
    "batch_size": 4,
    "growth_rate": 8,
    "height": 64,
    "width": 64,
    "depths": [2, 3, 4, 2],
    "stem": 16,
}


@tasks.add(
    sizes(
        head={
            "batch_size": 10,
            "growth_rate": 32,
            "num_classes": 10,
            "height": 224,
            "width": 224,
        },
        small=SMALL,
    ),
    name="densenet121",
    x=IMAGES,
    kernelbench="L3/15",
    note=RUNNING,
)
class DenseNet121(DenseNet):
    """DenseNet-121: dense blocks of 6, 12, 24 and 16 layers of one 3x3 convolution each."""

    def __init__(self, growth_rate=32, num_classes=1000, depths=(6, 12, 24, 16), stem=64):
        super().__init__(depths, growth_rate, num_classes, stem)


@tasks.add(
    sizes(
        head={
            "batch_size": 10,
            "growth_rate": 32,
            "num_classes": 10,
            "height": 224,
            "width": 224,
        },
        small={**SMALL, "depths": [2, 4, 6, 3]},
    ),
    name="densenet201",
    x=IMAGES,
    kernelbench="L3/16",
    note=RUNNING,
)
class DenseNet201(DenseNet):
    """DenseNet-201: dense blocks of 6, 12, 48 and 32 layers of one 3x3 convolution each."""

    def __init__(self, growth_rate=32, num_classes=1000, depths=(6, 12, 48, 32), stem=64):
        super().__init__(depths, growth_rate, num_classes, stem)
