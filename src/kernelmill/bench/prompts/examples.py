"""The examples of the package: a reference and a candidate that the evaluator accepts."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import kernelmill.bench.exemplars as package
from kernelmill.tasks import Task
from kernelmill.tasks.suites import load_suite

ROOT = Path(package.__file__).parent
ADD = "add"  # the example of no category: two tensors added


@dataclass(frozen=True)
class Example:
    """``answer`` solves ``task`` on ``backend``; ``category`` is that of the task, or ``add``."""

    category: str
    backend: str
    task: Task
    answer: str


@cache
def example(category: str, backend: str) -> Example | None:
    """The example of a category for a backend; ``None`` where there is none.

    Example:
        >>> example("reduce", "cpp").task.name
        'sum_reduction_over_a_dimension'
        >>> example("add", "fortran") is None
        True
    """
    folder = ROOT / category
    path = folder / f"{backend}.py"
    if not path.is_file():
        return None
    answer = path.read_text(encoding="utf-8")
    name = answer.splitlines()[0].removeprefix('"""').split(":")[0]
    if category == ADD:
        task = Task(ADD, (folder / "reference.py").read_text(encoding="utf-8"))
    else:
        task = load_suite("multikernelbench", categories=[category], tasks=[name])[name]
    return Example(category, backend, task, answer)


def backends_shown() -> tuple[str, ...]:
    """The backends that have the ``add`` example, and so every strategy."""
    return tuple(sorted(p.stem for p in (ROOT / ADD).glob("*.py") if p.stem != "reference"))
