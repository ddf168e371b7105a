"""A judge and proposers that need neither torch nor time."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

from kernelmill.evaluate.evaluation import Errors, Evaluation, Reason, Timing
from kernelmill.tasks import Candidate, Task

TASK = Task("toy", "class Model: pass\ndef get_inputs(): return []\n")
SOURCE = "class ModelNew:\n    value = {}\n"


def timing(ratio: float, floor: float = 0.0) -> Timing:
    return Timing(2.0, 2.0 / ratio, ratio, (ratio * 0.98, ratio * 1.02), 20, floor)


def accepted(ratio: float, floor: float = 0.0) -> Evaluation:
    return Evaluation(
        "accept",
        "verdict",
        errors=Errors(1e-6, 2e-7, 1e-6, 2e-7, 8),
        timing=timing(ratio, floor),
        environment={"cpu": "fake"},
        seconds=0.01,
    )


def rejected(code: str = "wrong_values") -> Evaluation:
    return Evaluation("reject", "correctness", (Reason(code, "the values are wrong"),))


def hash_score(candidate: Candidate) -> float:
    """A fitness that follows from the source: 0 for a quarter of them, else in (0, 4)."""
    number = int(hashlib.sha256(candidate.source.encode()).hexdigest()[:8], 16)
    return 0.0 if number % 4 == 0 else number % 4000 / 1000


class FakeJudge:
    """Scores by ``score(candidate)``; ``log`` gets the hash of each candidate paid for."""

    environment_key = {"machine": "a fake one"}

    def __init__(self, score=hash_score, log: Path | None = None, race=None):
        self.score = score
        self.paid: list[str] = []
        self.log = log
        self._race = race

    def evaluate(self, task: Task, candidate: Candidate, timing: bool = True) -> Evaluation:
        self.paid.append(candidate.hash)
        if self.log is not None:
            line = json.dumps([os.getpid(), candidate.hash]) + "\n"
            with open(self.log, "a") as file:  # one write: lines of killed processes stay whole
                file.write(line)
                file.flush()
                os.fsync(file.fileno())
        score = self.score(candidate)
        if isinstance(score, Exception):
            raise score
        if isinstance(score, Evaluation):
            return score
        return accepted(score) if score > 0 else rejected()

    def race(self, task: Task, candidates: list[Candidate], runs=None) -> list[Timing]:
        if isinstance(self._race, Exception):
            raise self._race
        return [timing((self._race or self.score)(c)) for c in candidates]

    def lint(self, task: Task):
        return None

    def close(self) -> None:
        pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


class Counting:
    """Endless new candidates: drafts lazily, and one child per call."""

    def __init__(self, name: str = "counting", limit: int | None = None):
        self.name = name
        self.limit = limit
        self.calls: list[tuple[int, ...]] = []

    def propose(self, task, parents, context):
        self.calls.append(tuple(p.id for p in parents))
        if not parents:
            i = 0
            while self.limit is None or i < self.limit:
                yield Candidate(SOURCE.format(f"'{self.name} draft {i}'"), name=f"d{i}")
                i += 1
        else:
            text = f"'{self.name} child of {parents[0].id}: {context.rng.random()}'"
            yield Candidate(SOURCE.format(text), name="child")


class Fixed:
    """The same drafts every time, nothing from parents."""

    def __init__(self, values, name: str = "fixed", backend: str = "torch"):
        self.values, self.name, self.backend = values, name, backend

    def propose(self, task, parents, context):
        if parents:
            return []
        return [Candidate(SOURCE.format(v), self.backend, f"v{v}") for v in self.values]
