"""The judge: task and candidate in, verdict out."""

from __future__ import annotations

import functools
import os
import secrets
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import replace
from typing import Any

import torch

from kernelmill.evaluate import sandbox
from kernelmill.evaluate.environment import describe
from kernelmill.evaluate.evaluation import Evaluation, Timing
from kernelmill.evaluate.hearing import Hearing
from kernelmill.evaluate.process import WorkerProcess, Zygote
from kernelmill.evaluate.racing import race_trials
from kernelmill.evaluate.session import TaskReport, TaskSession
from kernelmill.evaluate.settings import Settings
from kernelmill.evaluate.trial import Rejected, Trial
from kernelmill.tasks import Candidate, Task

SESSIONS = 2
TOGETHER = 6


class SandboxUnavailable(RuntimeError):
    """``require_sandbox`` was asked for and the machine does not offer full isolation."""


@functools.cache
def memory_bandwidth() -> float:
    """Bytes per second that a large copy moves on this machine (read + write)."""
    source = torch.ones(48 << 18)
    target = torch.empty_like(source)
    best = float("inf")
    for _ in range(4):
        start = time.perf_counter()
        target.copy_(source)
        best = min(best, time.perf_counter() - start)
    return 2 * source.numel() * 4 / best


class Judge:
    """Judges candidates with a warm fork server. Use as a context manager.

    Args:
        settings: see `Settings`.

    Raises:
        SandboxUnavailable: ``settings.require_sandbox`` and less than full isolation here.

    Example:
        >>> from kernelmill.tasks import Candidate, Task
        >>> text = '''
        ... import torch
        ... class Model(torch.nn.Module):
        ...     def forward(self, x):
        ...         return torch.softmax(x, -1)
        ... def get_inputs():
        ...     return [torch.randn(4, 33)]
        ... '''
        >>> wrong = text.replace("Model", "ModelNew").replace("softmax(x, -1)", "relu(x)")
        >>> with Judge(Settings(timing=False)) as judge:
        ...     answer = judge.evaluate(Task("softmax", text), Candidate(wrong))
        >>> answer.status, answer.reasons[0].code
        ('reject', 'wrong_values')
    """

    def __init__(self, settings: Settings | None = None):
        self.settings = settings or Settings()
        self.level, self.why_not_stronger = sandbox.level()
        if self.settings.require_sandbox and self.level != "namespaces":
            raise SandboxUnavailable(
                f"full isolation was required, this machine offers {self.level!r}: "
                f"{self.why_not_stronger}"
            )
        self.threads = self.settings.threads or len(os.sched_getaffinity(0))
        self.seed = secrets.randbits(62) if self.settings.seed is None else self.settings.seed
        self.zygote = Zygote(self.threads)
        self.zygote.start()
        self.sessions: dict[str, TaskSession] = {}
        self.environment = describe(self.threads, self.level)

    def __enter__(self) -> Judge:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def close(self) -> None:
        """End every process of this judge."""
        for session in self.sessions.values():
            session.close()
        self.sessions.clear()
        self.zygote.close()

    @property
    def bandwidth(self) -> float:
        return memory_bandwidth()

    def spawn(
        self,
        role: str,
        options: dict[str, Any],
        readable: tuple[str, ...] = (),
        devices: tuple[str, ...] = (),
    ) -> WorkerProcess:
        return WorkerProcess(
            self.zygote, role, level=self.level, limits=self.settings, options=options,
            readable=readable, devices=devices,
        )  # fmt: skip

    def session(self, task: Task) -> TaskSession:
        """The task's oracle, opened at first use.

        Raises:
            TaskError: the reference cannot be used.
        """
        found = self.sessions.get(task.hash)
        if found is not None and not found.oracle.closed:
            return found
        self.sessions.pop(task.hash, None)
        while len(self.sessions) >= SESSIONS:
            self.sessions.pop(next(iter(self.sessions))).close()
        found = TaskSession(self.spawn, task, self.seed, self.settings, self.threads)
        self.sessions[task.hash] = found
        return found

    def lint(self, task: Task) -> TaskReport:
        """Judge the problem instead of a candidate: can it be tested, and how well?

        Raises:
            TaskError: the reference cannot be used.
        """
        return self.session(task).report()

    def evaluate(self, task: Task, candidate: Candidate, timing: bool | None = None) -> Evaluation:
        """All stages for one candidate. Its faults are in the answer, never an exception.

        Raises:
            TaskError: the reference cannot be used.
            ValueError: the backend's name is unknown.
        """
        return self.evaluate_all(task, [candidate], timing)[0]

    def evaluate_all(
        self,
        task: Task,
        candidates: Sequence[Candidate],
        timing: bool | None = None,
        alone: Callable[[], AbstractContextManager[Any]] = nullcontext,
    ) -> list[Evaluation]:
        """All stages for several candidates of one task. Those that are right are timed together,
        in turn with the reference, which so is paid for once; at most six, since each holds a
        process until then.

        Args:
            alone: a context to be in while the clock runs: who judges side by side with others
                makes them wait in it.

        Raises:
            TaskError: the reference cannot be used.
            ValueError: a backend's name is unknown.
        """
        session = self.session(task)
        timing = self.settings.timing if timing is None else timing
        hearings = [Hearing(Trial(self, session, candidate)) for candidate in candidates]
        try:
            waiting: list[Hearing] = []
            for hearing in hearings:
                hearing.untimed(timing)
                waiting += [hearing] * hearing.waits
                if waiting and (len(waiting) == TOGETHER or hearing is hearings[-1]):
                    with alone():
                        self._time_together(waiting)
                    waiting = []
        finally:
            for hearing in hearings:
                hearing.trial.close()
        return [h.evaluation(self, task) for h in hearings]

    def _time_together(self, waiting: list[Hearing]) -> None:
        """Where a candidate spoils the common race, each gets one of its own."""
        timings: Sequence[Timing | None] = [None] * len(waiting)
        if len(waiting) > 1:
            start = time.monotonic()
            with suppress(Rejected):
                timings = self.time([h.trial for h in waiting])
            share = (time.monotonic() - start) / len(waiting)
            for hearing in waiting:
                hearing.seconds += share
        for hearing, measured in zip(waiting, timings, strict=True):
            hearing.timed(measured)

    def floor_ms(self, session: TaskSession) -> float:
        """Inputs, weights and outputs moved once at the measured bandwidth."""
        return session.facts["bytes"] / self.bandwidth * 1e3

    def time(self, trials: Sequence[Trial], runs: int | None = None) -> list[Timing]:
        """Time the reference and the trials of one task in turn."""
        for trial in trials:
            trial.worker.cont()
        session = trials[0].session if trials else None
        settings = replace(self.settings, runs=runs or self.settings.runs)
        timings = race_trials(list(trials), session, settings) if trials else []
        return [replace(t, floor_ms=self.floor_ms(session)) for t in timings]

    def race(
        self, task: Task, candidates: Sequence[Candidate], runs: int | None = None
    ) -> list[Timing]:
        """Time the reference and all candidates in turn, for final figures. The candidates must
        have been accepted; one that cannot be built or is wrong now raises.

        Raises:
            ValueError: a candidate failed; the message says why.
        """
        session = self.session(task)
        trials = [Trial(self, session, c) for c in candidates]
        try:
            for trial in trials:
                trial.screen()
                trial.build()
                trial.match_state(session.case(0))
            return self.time(trials, runs)
        except Rejected as rejected:
            raise ValueError(f"a candidate failed in the race: {rejected}") from None
        finally:
            for trial in trials:
                trial.close()


def evaluate(task: Task, candidate: Candidate, **settings: Any) -> Evaluation:
    """Judge one candidate; ``settings`` are the fields of `Settings`. For several candidates
    keep a `Judge`.

    Raises:
        TaskError: the reference cannot be used.
        ValueError: an unknown backend or setting.
    """
    with Judge(Settings(**settings)) as judge:
        return judge.evaluate(task, candidate)
