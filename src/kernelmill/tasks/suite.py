"""Suites: named, versioned collections of tasks."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from kernelmill.tasks.errors import TaskError
from kernelmill.tasks.task import Task


@dataclass(frozen=True)
class Suite:
    """A collection of tasks under a name and a version; task names are unique in it.

    Example:
        >>> suite = Suite("mine", "1", (Task("a", "..."), Task("b", "---")))
        >>> len(suite), suite["b"].source
        (2, '---')
    """

    name: str
    version: str
    tasks: tuple[Task, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "tasks", tuple(self.tasks))
        seen = set()
        for task in self.tasks:
            if task.name in seen:
                raise TaskError(f"suite {self.name}: two tasks are named {task.name!r}")
            seen.add(task.name)

    def __len__(self) -> int:
        return len(self.tasks)

    def __iter__(self) -> Iterator[Task]:
        return iter(self.tasks)

    def __getitem__(self, name: str) -> Task:
        for task in self.tasks:
            if task.name == name:
                return task
        raise KeyError(name)

    @cached_property
    def hash(self) -> str:
        """Content hash over the tasks, whatever their order."""
        parts = sorted(f"{task.name}\0{task.hash}" for task in self.tasks)
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    @classmethod
    def from_folder(
        cls, path: str | Path, name: str | None = None, version: str = "1", **fields: Any
    ) -> Suite:
        """Every task below a folder (see `kernelmill.tasks.loaders.load_folder`)."""
        from kernelmill.tasks.loaders import load_folder

        return cls(name or Path(path).resolve().name, version, tuple(load_folder(path, **fields)))
