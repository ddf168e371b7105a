"""Reading and writing by index.

Where a task writes, its destination is all zeros and some indices repeat, so that the winner is
undefined on a GPU: the repaired forms write different rows of a destination that matters.
"""

import torch

from kernelmill.tasks.suites.entry import Category, sizes

tasks = Category("index")
CUBE = sizes(
    head={"batch_size": 128, "dim1": 4096, "dim2": 4095, "dim": 1},
    paper={"batch_size": 16, "dim1": 256, "dim2": 256},
    small={"batch_size": 8, "dim1": 60, "dim2": 70},
)
X = "torch.rand(batch_size, dim1, dim2)"
TIES = "integer output: needs exact compare and a tie rule"
ZEROS = "destination is all zeros: a candidate that ignores it passes"
DUPLICATES = f"duplicate random indices: winner undefined; {ZEROS}"


@tasks.add(CUBE, x=X, kernelbench="L1/51", note=TIES)
def argmax_over_a_dimension(x, *, dim):
    """The index of the largest value along a dimension."""
    return torch.argmax(x, dim=dim)


@tasks.add(CUBE, x=X, kernelbench="L1/52", note=TIES)
def argmin_over_a_dimension(x, *, dim):
    """The index of the smallest value along a dimension."""
    return torch.argmin(x, dim=dim)


@tasks.add(
    sizes(
        head={"batch_size": 512, "length": 128, "vocabulary": 100000},
        small={
            "batch_size": 8, "length": 20, "vocabulary": 500,
            "num_embeddings": 500, "embedding_dim": 48,
        },
    ),
    indices="torch.randint(0, vocabulary, (batch_size, length))",
    layers={"table": "nn.Embedding(num_embeddings, embedding_dim)"},
    signature="num_embeddings, embedding_dim",
)  # fmt: skip
def embedding(self, indices, *, num_embeddings=100000, embedding_dim=768):
    """Rows of a table."""
    return self.table(indices)


TAKEN = sizes(
    head={"batch_size": 128, "length": 8192, "count": 4096},
    small={"batch_size": 16, "length": 200, "count": 90},
)
ROWS = "torch.rand(batch_size, length)"
INDICES = "torch.randint(0, length, (batch_size, count))"


@tasks.add(TAKEN, x=ROWS, indices=INDICES)
def gather(x, indices):
    """Elements of each row by an index of each row."""
    return torch.gather(x, 1, indices)


def written(rows, columns, count, *small):
    names = ("rows", "columns", "count")
    extents = zip(names, (rows, columns, count), strict=True)
    return sizes(head=dict(extents), small=dict(zip(names, small, strict=True)))


DESTINATION = "torch.zeros(rows, columns)"
NUMBERS = "torch.randint(0, rows, (count,))"
SOURCE = "torch.rand(count, columns)"
OTHERS = {"x": "torch.rand(rows, columns)", "indices": "torch.randperm(rows)[:count]"}


@tasks.add(
    written(1024, 4096, 8192, 40, 100, 90),
    x=DESTINATION,
    indices=NUMBERS,
    source=SOURCE,
    note=f"float atomics: order varies on GPU; {ZEROS}",
    repair={"x": "torch.rand(rows, columns)"},
)
def index_add(x, indices, source):
    """Rows of the source added to the rows of x that are named, some of them repeatedly."""
    return torch.index_add(x, 0, indices, source)


@tasks.add(
    written(8192, 1024, 2048, 100, 64, 40),
    x=DESTINATION,
    indices=NUMBERS,
    source=SOURCE,
    note=DUPLICATES,
    repair=OTHERS,
)
def index_copy(x, indices, source):
    """x with the rows that are named replaced by those of the source."""
    return torch.index_copy(x, 0, indices, source)


@tasks.add(
    sizes(
        head={"batch_size": 256, "length": 8192, "count": 2048},
        small={"batch_size": 16, "length": 200, "count": 90},
    ),
    x=ROWS,
    indices="torch.randint(0, length, (count,))",
)
def index_select(x, indices):
    """The columns that are named."""
    return torch.index_select(x, 1, indices)


@tasks.add(
    written(10000, 1024, 2048, 100, 64, 40),
    x=DESTINATION,
    indices=NUMBERS,
    value=SOURCE,
    note="duplicate random indices: winner undefined on GPU; writes into its first input",
)
def inplace_update(x, indices, value):
    """Rows of the caller's own tensor overwritten; returns that tensor."""
    x[indices] = value
    return x


@tasks.add(
    written(10000, 1024, 2048, 100, 64, 40),
    name="inplace_update",
    form="repaired",
    **{**OTHERS, "value": SOURCE},
)
def updated(x, indices, value):
    """A copy of x with some rows overwritten."""
    x = x.clone()
    x[indices] = value
    return x


@tasks.add(
    sizes(
        head={"batch_size": 64, "rows": 512, "columns": 512},
        small={"batch_size": 4, "rows": 30, "columns": 50},
    ),
    x="torch.rand(batch_size, rows, columns)",
    mask="torch.randint(0, 2, (batch_size, rows, columns)).bool()",
    note="fills with -inf: comparer must treat equal infinities as equal",
)
def masked_fill(x, mask):
    """x with minus infinity where a mask is set."""
    return x.masked_fill(mask, float("-inf"))


def scattered(batch_size, length, count):
    return sizes(
        head={"batch_size": batch_size, "length": length, "count": count},
        small={"batch_size": 8, "length": 200, "count": 90},
    )


ZERO_ROWS = "torch.zeros(batch_size, length)"
UPDATES = "torch.rand(batch_size, count)"


def different(batch_size, length, count):
    return torch.rand(batch_size, length).argsort(dim=1)[:, :count]


@tasks.add(
    scattered(64, 8192, 4096),
    x=ZERO_ROWS,
    indices=INDICES,
    updates=UPDATES,
    note=DUPLICATES,
    repair={"x": ROWS, "indices": "different(batch_size, length, count)"},
)
def scatter(x, indices, updates):
    """x with elements of each row replaced, by an index of each row."""
    return torch.scatter(x, 1, indices, updates)


@tasks.add(
    scattered(32, 4096, 1024),
    x=ZERO_ROWS,
    indices=INDICES,
    updates=UPDATES,
    note=f"float atomics: order varies on GPU; {ZEROS}",
    repair={"x": ROWS},
)
def scatter_add(x, indices, updates):
    """x with values added to elements of each row, by an index of each row."""
    return torch.scatter_add(x, 1, indices, updates)


@tasks.add(TAKEN, x=ROWS, indices=INDICES)
def take_along_dim(x, indices):
    """Elements of each row by an index of each row."""
    return torch.take_along_dim(x, indices, dim=1)
