"""One candidate's way through the stages: its verdict, and what it cost."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from kernelmill.evaluate.evaluation import Evaluation, Reason, Timing
from kernelmill.evaluate.trial import Rejected, Trial
from kernelmill.tasks import Task

UNTESTABLE = Reason(
    "untestable",
    "right as far as can be told, but the problem's output is constant or within its tolerance "
    "of a trivial answer: no speed-up is reported",
)


class Hearing:
    """Runs the stages of a trial. ``waits``: it is right so far and is to be timed; its process is
    stopped until then."""

    def __init__(self, trial: Trial):
        self.trial = trial
        self.status = "accept"
        self.reasons: Sequence[Reason] = ()
        self.measured: Timing | None = None
        self.waits = False
        self.seconds = 0.0

    @contextmanager
    def _stages(self) -> Iterator[None]:
        start = time.monotonic()
        try:
            yield
        except Rejected as rejected:
            self.status, self.reasons = rejected.status, rejected.reasons
        finally:
            self.seconds += time.monotonic() - start

    def untimed(self, to_be_timed: bool) -> None:
        """Everything that needs no clock."""
        trial = self.trial
        with self._stages():
            trial.screen()
            trial.build()
            trial.correctness()
            trial.probes()
            report = trial.session.report()
            trial.warnings += list(report.findings)
            if report.verdict == "untestable":
                self.status, self.reasons = report.verdict, (UNTESTABLE,)
            elif to_be_timed and trial.can_be_timed():
                self.waits = True
                trial.worker.stop()
                return
            trial.stage = "verdict"
        trial.close()

    def timed(self, measured: Timing | None) -> None:
        """The clock's part; ``measured`` where a common race has been run."""
        trial = self.trial
        with self._stages():
            measured = trial.timing(measured)
            trial.check_floor(measured)
            trial.stage = "verdict"
            self.measured = measured
        trial.close()

    def evaluation(self, judge: Any, task: Task) -> Evaluation:
        """What comes out of it."""
        trial = self.trial
        return Evaluation(
            status=self.status,
            stage=trial.stage,
            reasons=tuple(self.reasons),
            warnings=tuple(_unique(trial.warnings)),
            errors=trial.errors(),
            timing=self.measured,
            environment=judge.environment | {"backend": trial.candidate.backend},
            task_hash=task.hash,
            candidate_hash=trial.candidate.hash,
            seed=judge.seed,
            seconds=self.seconds,
        )


def _unique(reasons: Sequence[Reason]) -> list[Reason]:
    seen: dict[tuple[str, str], Reason] = {}
    for reason in reasons:
        seen.setdefault((reason.code, reason.message), reason)
    return list(seen.values())
