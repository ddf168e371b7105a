"""Judging many candidates of a suite: side by side what needs no clock, alone what does."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from kernelmill.bench.folder import Item
from kernelmill.bench.result import Result
from kernelmill.bench.shares import shares
from kernelmill.bench.store import BenchStore
from kernelmill.evaluate import Evaluation, Judge, Settings
from kernelmill.evaluate.evaluation import Reason
from kernelmill.search.environment import judge_facts
from kernelmill.tasks import Suite, Task, TaskError

Progress = Callable[[Result], None]
GROUP = 12  # a kill loses no more


def run(
    suite: Suite,
    items: Iterable[Item],
    store: BenchStore,
    *,
    resume: str | None = None,
    label: str = "",
    settings: Settings | None = None,
    workers: int = 2,
    model: str = "",
    strategy: str = "",
    progress: Progress = lambda result: None,
) -> str:
    """Judge candidates and keep every result as it comes; the run's id.

    ``workers`` judges work side by side, each on tasks of its own; while one of them times what is
    right, the others wait. A run that was killed goes on where it was (``resume``), and what the
    store already knows of a candidate in this environment is not paid for again.

    Args:
        settings: of the judges.
        model, strategy: who wrote the candidates; kept with the results.
        progress: called with every final result.

    Raises:
        ValueError: an item is of no task of the suite, or ``workers`` is not positive.
        StoreError: the run cannot be gone on with.
    """
    settings = settings or Settings()
    if workers < 1:
        raise ValueError(f"workers must be at least 1, got {workers}")
    items = list(items)
    names = {task.name: task for task in suite}
    for item in items:
        if item.task not in names:
            raise ValueError(f"an item is of task {item.task!r}, which {suite.name} does not have")
    if resume:
        run_id = store.claim(resume, suite).id
    else:
        config = {"timing": settings.timing, "model": model, "strategy": strategy}
        run_id = store.create_run(suite, label, config)
    done = {(r.task, r.platform, r.sample) for r in store.results(run_id)}
    todo = [i for i in items if (i.task, i.candidate.backend, i.sample) not in done]

    def keep(item: Item, evaluation: Evaluation) -> None:
        result = Result.from_evaluation(
            evaluation,
            task=item.task,
            category=names[item.task].category or "",
            platform=item.candidate.backend,
            sample=item.sample,
            model=model,
            strategy=strategy,
        )
        store.add(run_id, result)
        progress(result)

    floor = Floor()

    def part(chosen: Sequence[Item]) -> None:
        with Bench(settings, store, floor) as bench:
            for group in _groups(chosen):
                for item, evaluation in bench.evaluate(names[group[0].task], group):
                    keep(item, evaluation)

    parts = shares(todo, workers, lambda item: item.task)
    with ThreadPoolExecutor(max(len(parts), 1)) as pool:
        for _ in pool.map(part, parts):
            pass
    store.finish(run_id)
    return run_id


def _groups(items: Sequence[Item]) -> Iterator[list[Item]]:
    """A few candidates of the same task at a time; they are timed together."""
    for _, same in itertools.groupby(items, key=lambda item: item.task):
        same = list(same)
        for start in range(0, len(same), GROUP):
            yield same[start : start + GROUP]


class Floor:
    """Many may be ``beside`` each other, one at a time ``alone``, which is entered from within
    ``beside``: it is left for as long."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._inside = 0
        self._alone = False
        self._waiting = 0

    @contextmanager
    def beside(self) -> Iterator[None]:
        self._enter()
        try:
            yield
        finally:
            self._leave()

    @contextmanager
    def alone(self) -> Iterator[None]:
        with self._changed:
            self._inside -= 1
            self._waiting += 1
            self._changed.notify_all()
            self._changed.wait_for(lambda: not self._inside and not self._alone)
            self._waiting -= 1
            self._alone = True
        try:
            yield
        finally:
            with self._changed:
                self._alone = False
                self._changed.notify_all()
            self._enter()

    def _enter(self) -> None:
        with self._changed:
            # who waits to be alone goes first
            self._changed.wait_for(lambda: not self._alone and not self._waiting)
            self._inside += 1

    def _leave(self) -> None:
        with self._changed:
            self._inside -= 1
            self._changed.notify_all()


class Bench:
    """A judge that asks the store first, and is started anew where it broke."""

    def __init__(self, settings: Settings, store: BenchStore, floor: Floor | None = None):
        self.settings = settings
        self.store = store
        self.floor = floor or Floor()
        self.judge: Judge | None = None
        self.environment = ""

    def __enter__(self) -> Bench:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        if self.judge is not None:
            self.judge.close()
            self.judge = None

    def _open(self) -> Judge:
        if self.judge is None:
            self.judge = Judge(self.settings)
            self.environment = self.store.put_environment(judge_facts(self.judge))
        return self.judge

    def evaluate(self, task: Task, items: Sequence[Item]) -> list[tuple[Item, Evaluation]]:
        """An evaluation in any case: a broken reference or judge is an error with its reason."""
        with self.floor.beside():
            self._open()
            found = {
                hash: self.store.find_evaluation(task.hash, hash, self.environment)
                for hash in {item.candidate.hash for item in items}
            }
            new = {i.candidate.hash: i for i in items if found[i.candidate.hash] is None}
            if new:
                found |= self._judge(task, list(new.values()))
        return [(item, found[item.candidate.hash]) for item in items]

    def _judge(self, task: Task, items: list[Item]) -> dict[str, Evaluation]:
        candidates = [item.candidate for item in items]
        for attempt in (1, 2):
            judge = self._open()
            try:
                evaluations = judge.evaluate_all(task, candidates, alone=self.floor.alone)
            except TaskError as error:
                return _failed("task_error", str(error), task, items)
            except ValueError as error:
                if len(items) > 1:  # one of them names an unknown backend
                    return self._judge(task, items[:1]) | self._judge(task, items[1:])
                return _failed("unknown_backend", str(error), task, items)
            except OSError as error:
                self.close()
                if attempt == 2:
                    return _failed("judge_failed", f"the judge failed twice: {error}", task, items)
            else:
                self.store.put_task(task)
                for item, evaluation in zip(items, evaluations, strict=True):
                    self.store.put_evaluation(
                        task.hash, item.candidate, self.environment, evaluation
                    )
                return {e.candidate_hash: e for e in evaluations}
        raise AssertionError("unreachable")


def _failed(code: str, message: str, task: Task, items: list[Item]) -> dict[str, Evaluation]:
    return {
        item.candidate.hash: Evaluation(
            status="error",
            stage="build",
            reasons=(Reason(code, message),),
            task_hash=task.hash,
            candidate_hash=item.candidate.hash,
        )
        for item in items
    }
