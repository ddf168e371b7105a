"""Judging many candidates of a suite: in parallel what needs no clock, alone what does."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from kernelmill.bench.folder import Item
from kernelmill.bench.result import Result
from kernelmill.bench.shares import shares
from kernelmill.bench.store import BenchStore
from kernelmill.evaluate import Evaluation, Judge, Settings
from kernelmill.evaluate.evaluation import Reason
from kernelmill.search.environment import judge_facts
from kernelmill.tasks import Suite, Task, TaskError

Progress = Callable[[Result], None]


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

    Candidates are first judged without the clock by ``workers`` judges side by side. Those that
    are right are then judged once more with timing, one after the other with nothing else going
    on. A run that was killed goes on where it was (``resume``), and what the store already knows
    of a candidate in this environment is not paid for again.

    Args:
        settings: of the judges; ``timing=False`` leaves the second part out.
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

    untimed = replace(settings, timing=False)
    right: list[Item] = []
    if workers > 1 or not settings.timing:

        def part(chosen: Sequence[Item]) -> list[Item]:
            passed = []
            with Bench(untimed, store) as bench:
                for item in chosen:
                    evaluation = bench.evaluate(names[item.task], item)
                    if settings.timing and evaluation.accepted:
                        passed.append(item)
                    else:
                        keep(item, evaluation)
            return passed

        parts = shares(todo, workers, lambda item: item.task)
        with ThreadPoolExecutor(max(len(parts), 1)) as pool:
            for passed in pool.map(part, parts):
                right += passed
    else:
        right = todo
    if right:
        with Bench(settings, store) as bench:
            for item in sorted(right, key=lambda i: i.task):
                keep(item, bench.evaluate(names[item.task], item))
    store.finish(run_id)
    return run_id


class Bench:
    """A judge that asks the store first, and is started anew where it broke."""

    def __init__(self, settings: Settings, store: BenchStore):
        self.settings = settings
        self.store = store
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

    def evaluate(self, task: Task, item: Item) -> Evaluation:
        """An evaluation in any case: a broken reference or judge is an error with its reason."""
        candidate = item.candidate
        judge = self._open()
        known = self.store.find_evaluation(task.hash, candidate.hash, self.environment)
        if known is not None:
            return known
        for attempt in (1, 2):
            try:
                evaluation = judge.evaluate(task, candidate)
            except TaskError as error:
                return _failed("task_error", str(error), task, item)
            except ValueError as error:
                return _failed("unknown_backend", str(error), task, item)
            except OSError as error:
                self.close()
                if attempt == 2:
                    return _failed("judge_failed", f"the judge failed twice: {error}", task, item)
                judge = self._open()
            else:
                self.store.put_task(task)
                self.store.put_evaluation(task.hash, candidate, self.environment, evaluation)
                return evaluation
        raise AssertionError("unreachable")


def _failed(code: str, message: str, task: Task, item: Item) -> Evaluation:
    return Evaluation(
        status="error",
        stage="build",
        reasons=(Reason(code, message),),
        task_hash=task.hash,
        candidate_hash=item.candidate.hash,
    )
