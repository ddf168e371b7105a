"""Matrix products."""

import torch

from kernelmill.tasks.suites.entry import Category, sizes

tasks = Category("matmul")
MKN = {"m": 64, "k": 100, "n": 80}
SQUARE = sizes(head={"n": 4096}, small={"n": 96})


@tasks.add(
    sizes(
        head={"batch_size": 128, "m": 512, "k": 1024, "n": 2048},
        paper={"batch_size": 128, "m": 128, "k": 256, "n": 512},
        small={"batch_size": 4, **MKN},
    ),
    a="torch.rand(batch_size, m, k)",
    b="torch.rand(batch_size, k, n)",
    kernelbench="L1/3",
)
def batched_matrix_multiplication(a, b):
    """C = A B for every matrix of a batch."""
    return torch.bmm(a, b)


@tasks.add(
    sizes(
        head={"batch_size": 8, "rows": 256, "columns": 512, "depth": 256, "n": 768},
        paper={"batch_size": 16},
        small={"batch_size": 2, "rows": 8, "columns": 16, "depth": 40, "n": 72},
    ),
    a="torch.rand(batch_size, rows, columns, depth)",
    b="torch.rand(depth, n)",
    kernelbench="L1/11",
)
def four_dim_tensor_matrix_multiplication(a, b):
    """A four-dimensional tensor times a matrix, over its last dimension."""
    return torch.einsum("bijl,lk->bijk", a, b)


@tasks.add(
    SQUARE, a="torch.tril(torch.rand(n, n))", b="torch.tril(torch.rand(n, n))", kernelbench="L1/15"
)
def matmul_for_lower_triangular_matrices(a, b):
    """The lower triangle of A B, both lower triangular."""
    return torch.tril(torch.matmul(a, b))


def symmetric(n):
    a = torch.rand(n, n)
    return (a + a.T) / 2


@tasks.add(SQUARE, a="symmetric(n)", b="symmetric(n)", kernelbench="L1/13")
def matmul_for_symmetric_matrices(a, b):
    """A B of two symmetric matrices."""
    return torch.matmul(a, b)


@tasks.add(
    SQUARE, a="torch.triu(torch.rand(n, n))", b="torch.triu(torch.rand(n, n))", kernelbench="L1/14"
)
def matmul_for_upper_triangular_matrices(a, b):
    """The upper triangle of A B, both upper triangular."""
    return torch.triu(torch.matmul(a, b))


@tasks.add(
    sizes(head={"m": 4096, "n": 4096}, small={"m": 96, "n": 80}),
    a="torch.rand(m)",
    b="torch.rand(m, n)",
    kernelbench="L1/12",
)
def matmul_with_diagonal_matrices(a, b):
    """diag(a) B, the diagonal matrix written out: a scaling of rows in disguise."""
    return torch.diag(a) @ b


def product(name, kernelbench, doc, head, paper=None, small=MKN, a="m, k", b="k, n"):
    """Declares a product under its name; an operand ``k, m`` or ``n, k`` comes transposed."""
    turned = {
        ("m, k", "k, n"): matmul,
        ("k, m", "k, n"): transposed_a,
        ("m, k", "n, k"): transposed_b,
        ("k, m", "n, k"): transposed_both,
    }
    tasks.add(
        sizes(head=_mkn(head), paper=_mkn(paper) if paper else None, small=small),
        name=name,
        kernelbench=kernelbench,
        description=doc,
        a=f"torch.rand({a})",
        b=f"torch.rand({b})",
    )(turned[a, b])


def _mkn(extents):
    return dict(zip("mkn", extents, strict=True))


def matmul(a, b):
    return torch.matmul(a, b)


def transposed_a(a, b):
    return torch.matmul(a.T, b)


def transposed_b(a, b):
    return torch.matmul(a, b.T)


def transposed_both(a, b):
    return torch.matmul(a.T, b.T)


product(
    "matmul_with_irregular_shapes", "L1/8", "A B with extents that no tile divides.",
    (8205, 2949, 5921), small={"m": 61, "k": 97, "n": 83},
)  # fmt: skip
product(
    "matmul_with_large_k_dimension", "L1/6", "A B of small outer and huge inner extent.",
    (256, 524288, 256), (256, 131072, 256), small={"m": 16, "k": 4000, "n": 16},
)  # fmt: skip
product(
    "matmul_with_small_k_dimension", "L1/7", "A B of small inner extent.",
    (32768, 64, 32768), (16384, 32, 16384), small={"m": 200, "k": 16, "n": 200},
)  # fmt: skip
product(
    "matmul_with_transposed_a", "L1/16", "A' B.",
    (2048, 8192, 4096), (1024, 4096, 2048), a="k, m",
)  # fmt: skip
product(
    "matmul_with_transposed_b", "L1/17", "A B'.",
    (2048, 8192, 4096), (1024, 4096, 2048), b="n, k",
)  # fmt: skip
product(
    "matmul_with_transposed_both", "L1/18", "A' B'.",
    (2048, 8192, 4096), (1024, 4096, 2048), a="k, m", b="n, k",
)  # fmt: skip
product(
    "matrix_vector_multiplication", "L1/4", "A matrix times a column vector.",
    (2048, 1048576, 1), (256, 131072, 1), small={"m": 64, "k": 2000, "n": 1},
)  # fmt: skip


@tasks.add(
    sizes(head={"n": 4096}, paper={"n": 2048}, small={"n": 96}),
    a="torch.rand(n, n)",
    b="torch.rand(n, n)",
    kernelbench="L1/1",
)
def square_matrix_multiplication(a, b):
    """A B of two square matrices."""
    return torch.matmul(a, b)


product("standard_matrix_multiplication", "L1/2", "A B.", (2048, 8192, 4096), (1024, 4096, 2048))
product(
    "tall_skinny_matrix_multiplication", "L1/9",
    "A tall and narrow matrix times a low and wide one.",
    (32768, 32, 32768), (16384, 16, 16384), small={"m": 200, "k": 8, "n": 200},
)  # fmt: skip


@tasks.add(
    sizes(
        head={"batch_size": 16, "m": 1024, "k": 2048, "n": 768},
        small={"batch_size": 4, "m": 24, "k": 100, "n": 72},
    ),
    a="torch.rand(batch_size, m, k)",
    b="torch.rand(k, n)",
    kernelbench="L1/10",
)
def three_dim_tensor_matrix_multiplication(a, b):
    """A three-dimensional tensor times a matrix, over its last dimension."""
    return torch.matmul(a, b)
