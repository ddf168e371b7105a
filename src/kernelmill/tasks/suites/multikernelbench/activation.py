"""Activations: one elementwise or row-wise function each."""

import math

import torch
import torch.nn.functional as F

from kernelmill.tasks.suites.entry import Category, sizes

tasks = Category("activation")
SMALL = {"batch_size": 64, "dim": 1000}
PAPER = {"batch_size": 16, "dim": 16384}
ROWS = sizes(head={"batch_size": 4096, "dim": 393216}, paper=PAPER, small=SMALL)
SQUARE = sizes(
    head={"batch_size": 8192, "dim": 8192}, paper={"batch_size": 2000, "dim": 2000}, small=SMALL
)
X = "torch.rand(batch_size, dim)"
# Uniform inputs are never negative, where these functions do something.
SIGNED = {"x": "torch.randn(batch_size, dim)"}
# Wide rows press every probability below any absolute tolerance: a spread that grows with the
# width keeps some of them large.
PEAKED = {"x": "torch.randn(batch_size, dim) * 4"}


def with_constant(**constant):
    return {size: {**values, **constant} for size, values in ROWS.items()}


@tasks.add(with_constant(alpha=1.0), x=X, kernelbench="L1/31", weak="identity@1e-4", repair=SIGNED)
def elu(x, *, alpha=1.0):
    """ELU: x where x > 0, else alpha (exp(x) - 1)."""
    return F.elu(x, alpha=alpha)


@tasks.add(ROWS, x=X, kernelbench="L1/26")
def gelu(x):
    """GELU by the error function: x/2 (1 + erf(x / sqrt 2))."""
    return F.gelu(x)


@tasks.add(ROWS, x=X, kernelbench="L1/28")
def hardsigmoid(x):
    """The piecewise linear sigmoid: x/6 + 1/2, cut to 0..1."""
    return F.hardsigmoid(x)


@tasks.add(ROWS, x=X, kernelbench="L1/32", weak="identity@1e-4", repair=SIGNED)
def hardtanh(x):
    """x, cut to -1..1."""
    return F.hardtanh(x, min_val=-1.0, max_val=1.0)


@tasks.add(ROWS, x=X, kernelbench="L1/20", weak="identity@1e-4", repair=SIGNED)
def leaky_relu(x, *, negative_slope=0.01):
    """x where x > 0, else negative_slope x."""
    return F.leaky_relu(x, negative_slope=negative_slope)


@tasks.add(ROWS, x=X, kernelbench="L1/24")
def log_softmax(x):
    """x - log sum exp(x) along dimension 1."""
    return F.log_softmax(x, dim=1)


@tasks.add(SQUARE, x=X, kernelbench="L1/88")
def min_gpt_new_gelu(x):
    """GELU by the tanh approximation: x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))."""
    inner = math.sqrt(2.0 / math.pi) * (x + 0.044715 * torch.pow(x, 3.0))
    return 0.5 * x * (1.0 + torch.tanh(inner))


@tasks.add(ROWS, x=X, kernelbench="L1/19", weak="identity@1e-4", repair=SIGNED)
def relu(x):
    """max(x, 0)."""
    return torch.relu(x)


@tasks.add(ROWS, x=X, kernelbench="L1/27")
def selu(x):
    """SELU: 1.0507 (x where x > 0, else 1.6733 (exp(x) - 1))."""
    return torch.selu(x)


@tasks.add(ROWS, x=X, kernelbench="L1/21")
def sigmoid(x):
    """1 / (1 + exp(-x))."""
    return torch.sigmoid(x)


@tasks.add(ROWS, x=X, kernelbench="L1/23", weak="zeros@1e-4 input-independent@1e-4", repair=PEAKED)
def softmax(x):
    """exp(x) / sum exp(x) along dimension 1."""
    return torch.softmax(x, dim=1)


@tasks.add(ROWS, x=X, kernelbench="L1/29")
def softplus(x):
    """log(1 + exp(x)), x itself above 20."""
    return F.softplus(x)


@tasks.add(ROWS, x=X, kernelbench="L1/30")
def softsign(x):
    """x / (1 + |x|)."""
    return x / (1 + torch.abs(x))


@tasks.add(ROWS, x=X, kernelbench="L1/25")
def swish(x):
    """x sigmoid(x)."""
    return x * torch.sigmoid(x)


@tasks.add(ROWS, x=X, kernelbench="L1/22")
def tanh(x):
    """tanh(x)."""
    return torch.tanh(x)
