"""Elementwise functions of two or three operands of different shapes."""

import torch

from kernelmill.tasks.suites.entry import Category, sizes

tasks = Category("broadcast")


@tasks.add(
    sizes(head={"batch_size": 4, "dim": 2048}, small={"dim": 1000}),
    x="torch.rand(batch_size, dim)",
    bias="torch.tensor(0.7)",
)
def add_bias_broadcast(x, bias):
    """x plus a scalar held in a tensor without dimensions."""
    return x + bias


@tasks.add(
    sizes(
        head={"batch_size": 8, "channels": 512, "height": 32, "width": 32},
        small={"batch_size": 4, "channels": 33, "height": 16, "width": 20},
    ),
    x="torch.rand(batch_size, channels, height, width)",
    bias="torch.rand(channels)",
)
def add_bias_four_dim_broadcast(x, bias):
    """A bias per channel added to an NCHW tensor."""
    return x + bias.view(1, -1, 1, 1)


@tasks.add(
    sizes(head={"batch_size": 256, "dim": 2048}, small={"batch_size": 32, "dim": 500}),
    x="torch.rand(batch_size, dim)",
    low="torch.full((dim,), 0.2)",
    high="torch.full((dim,), 0.8)",
)
def clamp_broadcast(x, low, high):
    """Every column cut to the range between its own two bounds."""
    return torch.minimum(torch.maximum(x, low), high)


@tasks.add(
    sizes(
        head={"batch_size": 8, "channels": 3, "height": 32, "width": 128},
        small={"batch_size": 4, "height": 20},
    ),
    x="torch.rand(batch_size, channels, height, width)",
    scale="torch.rand(channels, 1, 1) + 0.5",
)
def division_broadcast(x, scale):
    """An NCHW tensor divided by a scale per channel."""
    return x / scale


@tasks.add(
    sizes(head={"batch_size": 4, "rows": 4, "dim": 2048}, small={"dim": 1000}),
    a="torch.rand(batch_size, 1, dim)",
    b="torch.rand(1, rows, dim)",
)
def elmentwise_mul_broadcast(a, b):
    """The product of (B, 1, N) and (1, M, N); the benchmark spells the name like this."""
    return a * b


@tasks.add(
    sizes(
        head={"batch_size": 128, "rows": 512, "dim": 1024},
        small={"batch_size": 8, "rows": 33, "dim": 100},
    ),
    a="torch.randint(0, 2, (batch_size, rows, dim)).bool()",
    b="torch.randint(0, 2, (1, rows, 1)).bool()",
)
def logic_and_broadcast(a, b):
    """The logical and of a mask (B, M, N) and a mask (1, M, 1)."""
    return torch.logical_and(a, b)


@tasks.add(
    sizes(
        head={"batch_size": 16, "rows": 256, "dim": 1024},
        small={"batch_size": 4, "rows": 33, "dim": 200},
    ),
    a="torch.rand(batch_size, 1, dim)",
    b="torch.rand(1, rows, 1)",
)
def max_broadcast(a, b):
    """The larger of (B, 1, N) and (1, M, 1), element by element."""
    return torch.maximum(a, b)


@tasks.add(
    sizes(head={"batch_size": 4, "dim": 2048}, small={"dim": 1000}),
    x="torch.rand(batch_size, dim)",
    exponent="torch.full((dim,), 2.0)",
)
def power_broadcast(x, exponent):
    """x to the power of an exponent per column."""
    return torch.pow(x, exponent)


@tasks.add(
    sizes(head={"batch_size": 8, "dim": 4096}, small={"dim": 1000}),
    x="torch.rand(batch_size, dim)",
    bias="torch.rand(dim)",
)
def subtract_with_bias_broadcast(x, bias):
    """x minus a bias per column."""
    return x - bias


@tasks.add(
    sizes(
        head={"batch_size": 64, "rows": 512, "dim": 64},
        small={"batch_size": 8, "rows": 33, "dim": 50},
    ),
    condition="torch.randint(0, 2, (1, rows, 1)).bool()",
    a="torch.rand(batch_size, rows, dim)",
    b="torch.rand(batch_size, rows, dim)",
)
def where_broadcast(condition, a, b):
    """Elements of a where a condition (1, M, 1) holds, of b elsewhere."""
    return torch.where(condition, a, b)
