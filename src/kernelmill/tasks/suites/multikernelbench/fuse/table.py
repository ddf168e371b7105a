"""How a fused task is written: a forward, its layers, and the sizes of input and constructor."""

from collections.abc import Callable
from typing import Any

from kernelmill.tasks.suites.entry import Category, sizes
from kernelmill.tasks.suites.multikernelbench.shapes import Size, constants, uniform

SMALLEST = {0: (16, ()), 2: (3, (14, 17)), 3: (2, (6, 9, 10))}
TRAINED = "train-mode batch norm: batch statistics, running buffers change on every call"


def smaller(size: Size) -> Size:
    """A few samples of small extents, the same constructor."""
    (_, channels, *extents), values = size
    batch_size, most = SMALLEST[len(extents)]
    return (batch_size, channels, *map(min, extents, most)), values


def shifted(drawn: str, dimensions: int) -> str:
    """An offset per sample, which survives means over many elements."""
    ones = ", 1" * (dimensions + 1)
    return f"{drawn} + 3 * torch.randn(batch_size{ones})"


def spread(drawn: str, dimensions: int) -> str:
    """Normal values of a scale per sample, large enough to matter after a softmax."""
    ones = ", 1" * (dimensions + 1)
    return f"{drawn.replace('rand', 'randn')} * (4 + 12 * torch.rand(batch_size{ones}))"


# A repair keeps the offset of each sample through means over its elements.
WEAK2 = {"weak": "input-independent@1e-2", "repair": shifted}
WEAK4 = {"weak": "input-independent@1e-4", "repair": shifted}


def parameter(shape: str) -> str:
    """A learned tensor, normal at first."""
    return f"nn.Parameter(torch.randn({shape}))"


def fused(
    tasks: Category,
    kernelbench: str,
    signature: str,
    head: Size,
    paper: Size | None = None,
    small: Size | None = None,
    *,
    repair: Callable[[str, int], str] | None = None,
    others: dict[str, str] | None = None,
    changed: dict[str, Any] | None = None,
    **options: Any,
) -> Callable[[Any], Any]:
    """Declares a task whose forward is the decorated function.

    Args:
        head, paper, small: input shape and constructor values; ``small`` follows from ``paper``.
        repair: makes the input of the repaired form from that of the task.
        others: expressions of the arguments after x.
        changed: options of `Category.add` for the other forms (``form``, ``name``).
        options: ``weak`` and ``note``; the rest are layers.
    """
    dimensions = len(head[0]) - 2
    table = sizes(
        head=constants(signature, head),
        paper=constants(signature, paper) if paper else None,
        small=constants(signature, small or smaller(paper or head)),
    )
    drawn = uniform(signature, dimensions)
    facts = {key: options.pop(key) for key in ("weak", "note") if key in options}
    return tasks.add(
        table,
        kernelbench=f"L2/{kernelbench}",
        signature=signature,
        layers=options,
        repair={"x": repair(drawn, dimensions)} if repair else None,
        x=drawn,
        **(others or {}),
        **facts,
        **(changed or {}),
    )


def form(of: str, kind: str = "paper") -> dict[str, Any]:
    """Options that declare another form of a task."""
    return {"name": of, "form": kind}
