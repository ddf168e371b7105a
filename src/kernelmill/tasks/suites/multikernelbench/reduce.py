"""Reductions over one dimension.

Of thousands of uniform values the largest is 1, the smallest and the product 0 whatever is drawn:
the repaired inputs are normal, or near 1 for the product.
"""

import torch

from kernelmill.tasks.suites.entry import Category, sizes

tasks = Category("reduce")
CUBE = sizes(
    head={"batch_size": 128, "dim1": 4096, "dim2": 4096, "dim": 1},
    paper={"batch_size": 16, "dim1": 256, "dim2": 256},
    small={"batch_size": 8, "dim1": 60, "dim2": 70},
)
X = "torch.rand(batch_size, dim1, dim2)"
NORMAL = {"x": "torch.randn(batch_size, dim1, dim2)"}


@tasks.add(CUBE, x=X, kernelbench="L1/49", weak="input-independent@1e-2", repair=NORMAL)
def max_reduction_over_a_dimension(x, *, dim):
    """The largest value along a dimension."""
    return torch.max(x, dim=dim)[0]


@tasks.add(CUBE, x=X, kernelbench="L1/48", repair=NORMAL)
def mean_reduction_over_a_dimension(x, *, dim):
    """The mean along a dimension."""
    return torch.mean(x, dim=dim)


@tasks.add(CUBE, x=X, kernelbench="L1/53", weak="zeros@1e-2 input-independent@1e-2", repair=NORMAL)
def min_reduction_over_a_dimension(x, *, dim):
    """The smallest value along a dimension."""
    return torch.min(x, dim=dim)[0]


@tasks.add(
    CUBE,
    x=X,
    kernelbench="L1/50",
    weak="zeros@1e-4 input-independent@1e-4",
    note="a product of thousands of values in (0, 1) underflows to 0",
    repair={"x": "1 + 0.02 * torch.randn(batch_size, dim1, dim2)"},
)
def product_reduction_over_a_dimension(x, *, dim):
    """The product along a dimension."""
    return torch.prod(x, dim=dim)


@tasks.add(CUBE, x=X, kernelbench="L1/47", repair=NORMAL)
def sum_reduction_over_a_dimension(x, *, dim):
    """The sum along a dimension, which is kept."""
    return torch.sum(x, dim=dim, keepdim=True)
