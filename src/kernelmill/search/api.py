"""The two calls that do everything: a module in, a faster module (or a full result) out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kernelmill.search.budget import Budget
    from kernelmill.search.ranking import Row
    from kernelmill.search.run import Event
    from kernelmill.search.types import Node, Proposer
    from kernelmill.tasks import Task


@dataclass(frozen=True)
class OptimizeResult:
    """What a run came to.

    Attributes:
        run_id: what ``kernelmill runs show`` and ``--resume`` take.
        winner: the winning node; node 0 is the reference itself.
        improved: false where nothing was faster than the better of eager and torch.compile.
        summary: one sentence for people.
        rows: the final table: eager, torch.compile (where it was judged), winner.
        stop_reason: target, max_artifacts, wall_clock, stall, floor, exhausted, untestable.
        winner_path: the folder that `kernelmill.load` takes.
        report_path: the HTML report (``None`` where none was asked for).
        store: URL of the store.
        candidates: how many candidates were judged; ``accepted``: how many were right.
        seconds: wall clock of the run.
    """

    run_id: str
    winner: Node
    improved: bool
    summary: str
    rows: tuple[Row, ...]
    stop_reason: str
    winner_path: Path
    report_path: Path | None
    store: str
    candidates: int
    accepted: int
    seconds: float


def optimize_task(
    task: Task | str | Path,
    *,
    budget: str | float | Budget = "60s",
    backends: Sequence[str] | None = None,
    store: Any = None,
    seed: int = 0,
    proposers: Iterable[str | Proposer] | None = None,
    policy: Any = "uct",
    progress: Callable[[Event], None] | None = None,
    resume: str | None = None,
    out: str | Path | None = None,
    report: bool = True,
    judge: Any = None,
    settings: Any = None,
    device: str = "cpu",
    threads: int | None = None,
    top: int = 3,
) -> OptimizeResult:
    """Search for a faster kernel for ``task`` and say what was found."""
    raise NotImplementedError


def optimize(
    target: Any,
    example_inputs: Any = None,
    budget: str | float | Budget = "60s",
    backends: Sequence[str] | None = None,
    store: Any = None,
    seed: int = 0,
    proposers: Iterable[str | Proposer] | None = None,
    progress: Callable[[Event], None] | None = None,
    **options: Any,
) -> Any:
    """A module (with example inputs), a task or a problem file in, a faster module out."""
    raise NotImplementedError
