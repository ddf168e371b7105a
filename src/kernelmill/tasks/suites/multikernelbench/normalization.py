"""Normalisations."""

import torch
import torch.nn as nn

from kernelmill.tasks.suites.entry import Category, sizes

tasks = Category("normalization")
IMAGE = "torch.rand(batch_size, features, height, width)"
SMALL = {"batch_size": 4, "features": 16, "height": 20, "width": 24}


def images(batch_size, height, **constants):
    square = {"height": height, "width": height}
    return sizes(
        head={"batch_size": batch_size, "features": 64, **square, **constants},
        paper={"batch_size": 16, "height": 256, "width": 256},
        small=SMALL,
    )


ROWS = sizes(
    head={"batch_size": 32768, "dim": 65535},
    paper={"batch_size": 16, "dim": 16384},
    small={"batch_size": 32, "dim": 999},
)
X = "torch.rand(batch_size, dim)"
# A norm over many elements presses each below an absolute tolerance, and hardly moves: rows of
# another scale each, with a few large elements.
SPIKED = {"x": "torch.randn(batch_size, dim) ** 5"}


@tasks.add(
    images(64, 512),
    x=IMAGE,
    kernelbench="L1/33",
    note="train-mode batch norm: batch statistics, running buffers change on every call",
    layers={"norm": "nn.BatchNorm2d(num_features=features)"},
    signature="features",
)
def batch_norm(self, x):
    """Batch normalisation with affine parameters by the statistics of the batch."""
    return self.norm(x)


@tasks.add(
    images(128, 512),
    x=IMAGE,
    kernelbench="L1/37",
    weak="zeros@1e-2 input-independent@1e-2",
    repair={"x": "torch.randn(batch_size, features, height, width) ** 5"},
)
def frobenius_norm(x):
    """x divided by the square root of the sum of all its squares."""
    return x / torch.norm(x, p="fro")


@tasks.add(
    images(128, 512, num_groups=8),
    x=IMAGE,
    kernelbench="L1/35",
    layers={"norm": "nn.GroupNorm(num_groups=num_groups, num_channels=features)"},
    signature="features, num_groups",
)
def group_norm(self, x):
    """Group normalisation with affine parameters."""
    return self.norm(x)


@tasks.add(
    images(128, 512),
    x=IMAGE,
    kernelbench="L1/34",
    layers={"norm": "nn.InstanceNorm2d(num_features=features)"},
    signature="features",
)
def instance_norm(self, x):
    """Instance normalisation without affine parameters."""
    return self.norm(x)


@tasks.add(ROWS, x=X, kernelbench="L1/38")
def l1_norm(x):
    """Each row divided by the mean of its absolute values."""
    return x / torch.mean(torch.abs(x), dim=1, keepdim=True)


@tasks.add(ROWS, name="l1_norm", form="paper", x="torch.randn(batch_size, dim)")
def l1_norm_by_sum(x):
    """Each row divided by the sum of its absolute values."""
    return x / torch.sum(torch.abs(x), dim=1, keepdim=True)


@tasks.add(ROWS, x=X, kernelbench="L1/39", weak="zeros@1e-2 input-independent@1e-2", repair=SPIKED)
def l2_norm(x):
    """Each row divided by its Euclidean norm."""
    return x / torch.norm(x, p=2, dim=1, keepdim=True)


@tasks.add(
    sizes(
        head={"batch_size": 64, "features": 64, "dim1": 256, "dim2": 256},
        paper={"batch_size": 16},
        small={"batch_size": 4, "features": 8, "dim1": 12, "dim2": 20},
    ),
    x="torch.rand(batch_size, features, dim1, dim2)",
    kernelbench="L1/40",
    init=("(features, dim1, dim2)",),
    layers={"norm": "nn.LayerNorm(normalized_shape=normalized_shape)"},
    signature="normalized_shape",
)
def layer_norm(self, x):
    """Layer normalisation over all dimensions but the first, with affine parameters."""
    return self.norm(x)


@tasks.add(images(128, 512), name="rms_norm", x=IMAGE, kernelbench="L1/36")
class RMSNorm(nn.Module):
    """x / sqrt(mean of x^2 over the channels + eps), without a weight."""

    def __init__(self, features, eps=1e-5):
        super().__init__()
        self.features = features
        self.eps = eps

    def forward(self, x):
        return x / torch.sqrt(torch.mean(x**2, dim=1, keepdim=True) + self.eps)
