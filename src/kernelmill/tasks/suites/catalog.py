"""The suites that ship with kernelmill."""

from __future__ import annotations

import difflib
import pkgutil
from collections.abc import Callable, Sequence
from functools import cache
from importlib import import_module
from typing import Any

from kernelmill.tasks.errors import TaskError
from kernelmill.tasks.suite import Suite
from kernelmill.tasks.suites.entry import SIZES, Category, Entry

CATEGORIES = (
    "activation", "broadcast", "convolution", "arch", "fuse", "loss", "math", "matmul",
    "normalization", "optimizer", "pooling", "index", "resize", "reduce",
)  # fmt: skip
EXTRA = ("attention",)
VERSIONS = {"multikernelbench": "2026.11", "library": "1"}


@cache
def multikernelbench() -> dict[str, Entry]:
    """Every task by name, in the order of the categories; the extra ones last."""
    import kernelmill.tasks.suites.multikernelbench as package

    found: dict[str, Entry] = {}
    for info in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        category = getattr(import_module(info.name), "tasks", None)
        if not isinstance(category, Category):
            continue
        for name, entry in category.entries.items():
            if name in found:
                raise TaskError(f"suite multikernelbench: two tasks are named {name!r}")
            found[name] = entry
    order = CATEGORIES + EXTRA
    return dict(sorted(found.items(), key=lambda item: order.index(item[1].category)))


def entry_of(suite: str, task: str) -> Entry | None:
    """What a suite knows of a task beside its text; ``None`` where it keeps nothing."""
    return multikernelbench().get(task) if suite == "multikernelbench" else None


def kernelbench_problems(suite: Suite) -> dict[str, str]:
    """``L1/23`` to task name, for tasks that stem from a problem of KernelBench.

    Example:
        >>> kernelbench_problems(load_suite("multikernelbench", tasks=["softmax"]))
        {'L1/23': 'softmax'}
    """
    entries = {task.name: entry_of(suite.name, task.name) for task in suite}
    return {e.kernelbench: name for name, e in entries.items() if e and e.kernelbench}


def _choose(known: Sequence[str], asked: Sequence[str] | None, what: str) -> Sequence[str]:
    """``asked`` in the order of ``known``; an unknown one raises with its nearest names."""
    if asked is None:
        return known
    for name in asked:
        if name not in known:
            near = ", ".join(difflib.get_close_matches(name, known, 3)) or ", ".join(known[:20])
            raise ValueError(f"unknown {what} {name!r}; nearest: {near}")
    return [name for name in known if name in set(asked)]


def _multikernelbench(
    size: str, repaired: bool, categories: Sequence[str] | None, **fields: Any
) -> Suite:
    chosen = _choose(CATEGORIES + EXTRA, categories, "category") if categories else CATEGORIES
    tasks = tuple(
        entry.task(size, repaired, **fields)
        for entry in multikernelbench().values()
        if entry.category in chosen
    )
    version = f"{VERSIONS['multikernelbench']}-{size}{'-repaired' if repaired else ''}"
    return Suite("multikernelbench", version, tasks)


def _robustkbench(
    size: str, repaired: bool, categories: Sequence[str] | None, **fields: Any
) -> Suite:
    from kernelmill.tasks.suites.robustkbench import robustkbench_suite

    return robustkbench_suite(size=size, **fields)


def _library(size: str, repaired: bool, categories: Sequence[str] | None, **fields: Any) -> Suite:
    from kernelmill.tasks.library import library_tasks

    made = library_tasks(bench=size != "small", **fields)
    return Suite("library", f"{VERSIONS['library']}-{size}", tuple(made.values()))


SUITES: dict[str, Callable[..., Suite]] = {
    "multikernelbench": _multikernelbench,
    "robust-kbench": _robustkbench,
    "library": _library,
}


def suite_names() -> tuple[str, ...]:
    """The suites by name."""
    return tuple(SUITES)


def load_suite(
    name: str,
    size: str = "small",
    *,
    repaired: bool = False,
    categories: Sequence[str] | None = None,
    tasks: Sequence[str] | None = None,
    **fields: Any,
) -> Suite:
    """A suite at a size.

    Args:
        name: ``multikernelbench`` (285 tasks; its 15 attention tasks by ``categories``),
            ``robust-kbench``, or ``library`` (a task per operator and example).
        size: ``small`` (a laptop), ``head`` (the benchmark's shapes today), ``paper`` (those
            of the published numbers).
        repaired: the repaired form of tasks whose answer is weak, where there is one.
        categories, tasks: only these.
        fields: further fields of `Task`.

    Raises:
        ValueError: an unknown suite, size, category or task; the message has the nearest names.

    Example:
        >>> suite = load_suite("multikernelbench", categories=["activation"], tasks=["elu"])
        >>> [task.name for task in suite]
        ['elu']
    """
    if name not in SUITES:
        raise ValueError(f"unknown suite {name!r}; known: {', '.join(SUITES)}")
    if size not in SIZES:
        raise ValueError(f"size must be one of {', '.join(SIZES)}, got {size!r}")
    suite = SUITES[name](size, repaired, categories, **fields)
    if tasks is not None:
        chosen = set(_choose([task.name for task in suite], tasks, "task"))
        suite = Suite(suite.name, suite.version, tuple(t for t in suite if t.name in chosen))
    return suite
