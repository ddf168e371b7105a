"""What crosses the border between the search and its proposers."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from kernelmill.evaluate.evaluation import Evaluation
from kernelmill.tasks import Candidate, Task


@dataclass(frozen=True)
class Node:
    """A candidate in the search graph with what is known about it (``None``: not yet judged)."""

    id: int
    candidate: Candidate
    evaluation: Evaluation | None = None
    parents: tuple[int, ...] = ()

    @property
    def fitness(self) -> float:
        return self.evaluation.fitness if self.evaluation else 0.0


@dataclass(frozen=True)
class Context:
    """What a proposer may use besides the task and the parents."""

    rng: random.Random
    device: str = "cpu"
    threads: int = 1
    report: Any = None
    seconds_left: float = float("inf")
    facts: dict[str, Any] = field(default_factory=dict)


class Proposer(Protocol):
    """Writes candidates. ``parents`` is empty for a first draft; otherwise the nodes to improve
    on, with their evaluations (errors to repair, times to beat)."""

    name: str

    def propose(
        self, task: Task, parents: Sequence[Node], context: Context
    ) -> Iterable[Candidate]: ...
