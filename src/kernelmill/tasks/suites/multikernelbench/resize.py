"""Interpolation and grid sampling. Output extents are part of the tasks."""

import torch.nn.functional as F

from kernelmill.tasks.suites.entry import Category, sizes

tasks = Category("resize")
IMAGE = "torch.rand(batch_size, channels, height, width)"
SMALL = {"batch_size": 1, "channels": 3}


def images(batch_size, channels, height, width, *small):
    extents = {"batch_size": batch_size, "channels": channels, "height": height, "width": width}
    return sizes(
        head=extents, small={**SMALL, **dict(zip(("height", "width"), small, strict=bool(small)))}
    )


@tasks.add(images(4, 64, 64, 64, 24, 20), x=IMAGE)
def bicubic_upsample(x):
    """Bicubic interpolation to 256 x 256, corners aligned."""
    return F.interpolate(x, size=(256, 256), mode="bicubic", align_corners=True)


@tasks.add(images(8, 256, 64, 64, 24, 20), x=IMAGE)
def bilinear_upsample(x):
    """Bilinear interpolation to twice the extents, between the centres of pixels."""
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


@tasks.add(images(4, 128, 240, 320), x=IMAGE)
def downsample_bilinear(x):
    """Bilinear interpolation to 60 x 80, without a filter."""
    return F.interpolate(x, size=(60, 80), mode="bilinear", align_corners=False)


TURNED = "torch.tensor([[[0.9, 0.2, 0.1], [-0.2, 0.9, -0.1]]]).repeat(batch_size, 1, 1)"


@tasks.add(images(8, 64, 128, 128, 32, 40), x=IMAGE, theta=TURNED)
def grid_sample_affine(x, theta):
    """Bilinear samples on the grid of an affine map."""
    grid = F.affine_grid(theta, x.size(), align_corners=False)
    return F.grid_sample(x, grid, align_corners=False)


@tasks.add(
    images(4, 3, 256, 256, 32, 40),
    x=IMAGE,
    grid="torch.rand(batch_size, height, width, 2) * 2 - 1",
)
def grid_sample_random_warp(x, grid):
    """Bilinear samples on a given grid, zeros outside."""
    return F.grid_sample(x, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


@tasks.add(images(4, 128, 100, 150, 20, 30), x=IMAGE, size="[200, 300]")
def interpolate_dynamic(x, size):
    """Bilinear interpolation to extents that are known when it is called."""
    return F.interpolate(x, size=size, mode="bilinear", align_corners=False)


@tasks.add(images(16, 128, 32, 32, 20, 24), x=IMAGE)
def nearest_neighbor_upsample(x):
    """Four times the extents, by the nearest neighbour."""
    return F.interpolate(x, scale_factor=4, mode="nearest")


@tasks.add(images(8, 3, 256, 256), x=IMAGE)
def resize_with_antialias(x):
    """Bilinear interpolation to 128 x 128 with a filter against aliases."""
    return F.interpolate(x, size=(128, 128), mode="bilinear", align_corners=False, antialias=True)


@tasks.add(
    sizes(
        head={"batch_size": 2, "channels": 16, "depth": 32, "height": 32, "width": 32},
        small={**SMALL, "depth": 8, "height": 10, "width": 12},
    ),
    x="torch.rand(batch_size, channels, depth, height, width)",
)
def trilinear_upsample(x):
    """Trilinear interpolation to twice the extents, corners aligned."""
    return F.interpolate(x, scale_factor=2, mode="trilinear", align_corners=True)


@tasks.add(images(2, 64, 64, 64, 24, 20), x=IMAGE, theta=TURNED)
def upsample_grid_sample(x, theta):
    """Bilinear interpolation to twice the extents, then samples on the grid of an affine map."""
    x = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
    grid = F.affine_grid(theta, x.size(), align_corners=False)
    return F.grid_sample(x, grid, align_corners=False)
