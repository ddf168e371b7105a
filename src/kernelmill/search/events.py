"""What a run tells those who watch it, and what it starts from."""

from __future__ import annotations

from dataclasses import dataclass

from kernelmill.search.types import Node
from kernelmill.tasks import Candidate, Task


@dataclass(frozen=True)
class Event:
    """What a progress display needs to know.

    ``kind``: ``start``, ``proposing``, ``judging``, ``node`` (one was judged), ``fruitless`` (a
    proposer had nothing), ``ranking``, ``done``. ``seconds`` and ``limit`` are the time used and
    granted (``None``: no time limit), ``best`` the best fitness so far.
    """

    kind: str
    message: str
    seconds: float
    limit: float | None
    candidates: int
    accepted: int
    best: float
    node: Node | None = None


def root_candidate(task: Task) -> Candidate:
    """The reference itself, as the root of the graph. It is never judged: its ratio is 1."""
    text = None
    try:
        from kernelmill.search.proposers._embed import embed

        text = embed(task)
    except (SyntaxError, ValueError):
        pass  # the judge says so in better words
    source = f"{text or task.source}\n\n\nclass ModelNew(Model):\n    pass\n"
    return Candidate(source, "torch", "eager", {"proposer": "reference"})
