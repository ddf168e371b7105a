"""Activations: one elementwise or row-wise function each."""

import math

import torch
import torch.nn as nn
import torch.nn.functional as F

from kernelmill.tasks.suites.entry import Category, sizes

tasks = Category("activation")
SMALL = {"batch_size": 64, "dim": 1000}
HEAD = {"batch_size": 4096, "dim": 393216}
PAPER = {"batch_size": 16, "dim": 16384}
ROWS = sizes(head=HEAD, paper=PAPER, small=SMALL)
X = "torch.rand(batch_size, dim)"
# Uniform inputs are never negative, where these functions do nothing.
SIGNED = {"x": "torch.randn(batch_size, dim)"}


def with_constant(**constant):
    return {size: {**values, **constant} for size, values in ROWS.items()}


@tasks.add(with_constant(alpha=1.0), x=X, kernelbench="L1/31", weak="identity@1e-4", repair=SIGNED)
def elu(x, *, alpha=1.0):
    """ELU: x where x > 0, else alpha (exp(x) - 1)."""
    return F.elu(x, alpha=alpha)


@tasks.add(
    sizes(
        head={"batch_size": 8192, "dim": 8192},
        paper={"batch_size": 2000, "dim": 2000},
        small=SMALL,
    ),
    x=X,
    kernelbench="L1/88",
)
def min_gpt_new_gelu(x):
    """GELU by the tanh approximation: x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))."""
    inner = math.sqrt(2.0 / math.pi) * (x + 0.044715 * torch.pow(x, 3.0))
    return 0.5 * x * (1.0 + torch.tanh(inner))
