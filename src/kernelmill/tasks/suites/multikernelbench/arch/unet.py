"""U-Net (Ronneberger et al. 2015) with softmax in place of ReLU."""

import torch
import torch.nn as nn

from kernelmill.tasks.suites.entry import Category, sizes

tasks = Category("arch")
RUNNING = "normalises by the batch's statistics and updates its running ones at every call"


def double_conv(in_channels, out_channels):
    """Twice: 3x3 convolution, batch norm, softmax over the last dimension."""
    layers = []
    for before in (in_channels, out_channels):
        layers.append(nn.Conv2d(before, out_channels, 3, padding=1))
        layers.append(nn.BatchNorm2d(out_channels))
        layers.append(nn.Softmax(dim=-1))
    return nn.Sequential(*layers)


@tasks.add(
    sizes(
        head={
            "batch_size": 8,
            "in_channels": 8,
            "out_channels": 4,
            "features": 64,
            "height": 64,
            "width": 512,
        },
        small={"batch_size": 2, "features": 8, "height": 32, "width": 48},
    ),
    name="unet_softmax",
    x="torch.rand(batch_size, in_channels, height, width)",
    kernelbench="L3/45",
    note=RUNNING,
)
class UNetSoftmax(nn.Module):
    """U-Net: four levels down by max pools and up by transposed convolutions, skips concatenated;
    each convolution is followed by batch norm and a softmax over the last dimension."""

    def __init__(self, in_channels, out_channels, features):
        super().__init__()
        widths = [features * 2**level for level in range(5)]
        self.down = nn.ModuleList(
            double_conv(before, after)
            for before, after in zip([in_channels, *widths[:-1]], widths, strict=True)
        )
        self.pool = nn.MaxPool2d(2)
        self.up = nn.ModuleList(
            nn.ConvTranspose2d(2 * width, width, 2, stride=2) for width in widths[-2::-1]
        )
        self.merge = nn.ModuleList(double_conv(2 * width, width) for width in widths[-2::-1])
        self.last = nn.Conv2d(features, out_channels, 1)

    def forward(self, x):
        skips = []
        for block in self.down[:-1]:
            skips.append(block(x))
            x = self.pool(skips[-1])
        x = self.down[-1](x)
        for up, merge in zip(self.up, self.merge, strict=True):
            x = merge(torch.cat((up(x), skips.pop()), dim=1))
        return self.last(x)
