"""Running sums and products, and a product with a number."""

import torch

from kernelmill.tasks.suites.entry import Category, sizes

tasks = Category("math")
ROWS = sizes(
    head={"batch_size": 32768, "length": 32768, "dim": 1},
    paper={"batch_size": 128, "length": 4000},
    small={"batch_size": 32, "length": 500},
)
X = "torch.rand(batch_size, length)"


@tasks.add(
    ROWS,
    x=X,
    kernelbench="L1/90",
    note="a product of uniform values is 0 in float32 after some 200 of them",
    repair={"x": "1 + 0.05 * torch.randn(batch_size, length)"},
)
def cumprod(x, *, dim):
    """The running product along a dimension."""
    return torch.cumprod(x, dim=dim)


@tasks.add(ROWS, x=X, kernelbench="L1/89")
def cumsum(x, *, dim):
    """The running sum along a dimension."""
    return torch.cumsum(x, dim=dim)


@tasks.add(ROWS, x=X, kernelbench="L1/92")
def cumsum_exclusive(x, *, dim):
    """The running sum along a dimension, shifted by one so that it starts at 0."""
    zeros = torch.zeros_like(x.select(dim, 0).unsqueeze(dim))
    return torch.cumsum(torch.cat((zeros, x.narrow(dim, 0, x.size(dim) - 1)), dim=dim), dim=dim)


@tasks.add(ROWS, name="cumsum_exclusive", form="paper", x=X)
def cumsum_exclusive_of_paper(x, *, dim):
    """The running sum of all rows but the last, with a zero put in front."""
    zeros = torch.zeros_like(x.select(dim, 0).unsqueeze(dim))
    return torch.cumsum(torch.cat((zeros, x), dim=dim)[:-1], dim=dim)


@tasks.add(ROWS, x=X, kernelbench="L1/91")
def cumsum_reverse(x, *, dim):
    """The running sum along a dimension, from its end."""
    return torch.cumsum(x.flip(dim), dim=dim).flip(dim)


@tasks.add(
    ROWS,
    x=X,
    mask="torch.randint(0, 2, (batch_size, length)).bool()",
    kernelbench="L1/93",
)
def masked_cumsum(x, mask, *, dim):
    """The running sum of the elements that a mask selects."""
    return torch.cumsum(x * mask, dim=dim)


@tasks.add(
    sizes(
        head={"rows": 65536, "columns": 16384},
        paper={"rows": 16384, "columns": 4096},
        small={"rows": 100, "columns": 500},
    ),
    a="torch.rand(rows, columns)",
    s="3.14",
    kernelbench="L1/5",
)
def matrix_scalar_multiplication(a, s):
    """A matrix times a Python number."""
    return a * s
