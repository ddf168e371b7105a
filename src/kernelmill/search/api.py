"""The two calls that do everything: a module in, a faster module (or a full result) out."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kernelmill.evaluate.evaluation import Timing
from kernelmill.search.budget import Budget, parse_budget
from kernelmill.search.errors import Interrupted
from kernelmill.search.events import Event
from kernelmill.search.ranking import Ranking, Row, final_ranking
from kernelmill.search.run import Run
from kernelmill.search.store import Store
from kernelmill.tasks import Task

if TYPE_CHECKING:
    from kernelmill.search.types import Node, Proposer

log = logging.getLogger("kernelmill")

RESERVE = 0.2  # share of the time budget kept for the final race, at most RESERVE_S seconds
RESERVE_S = 15.0


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
    task: Task | str | Path | None = None,
    *,
    budget: str | float | Budget | None = None,
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
    training: bool | None = None,
    **run_options: Any,
) -> OptimizeResult:
    """Search for a faster kernel for ``task`` and say what was found.

    Args:
        task: a task, or the file or folder of one; ``None`` only with ``resume``.
        budget: a duration or a `Budget`; ``None``: 60 s, or what was left of a resumed run's. A
            duration given with ``resume`` is time on top of what the run has had.
        backends: candidates of these backends only.
        store: file or URL; ``None``: ``./kernelmill-runs/store.db``.
        seed: of selection and proposers.
        proposers: names or objects; ``None``: all that there are.
        policy: ``uct``, ``greedy``, ``evolutionary``, ``independent``, or an object.
        progress: called with an `Event` now and then.
        resume: id of a run to go on with.
        out: folder for winner and report; ``None``: one named after the run beside the store.
        report: write the HTML report.
        judge: judges candidates; ``None``: a `kernelmill.evaluate.Judge` of ``settings``.
        device, threads: where and with how many threads candidates run.
        top: how many of the best are measured again at the end.
        training: mode of the module that the task was made of (``None``: as constructed).

    Raises:
        TaskError: the task cannot be used.
        StoreError: the store cannot be used, or has no such run.
        ValueError: an argument is out of range.
        Interrupted: Ctrl-C; the run can be resumed.
    """
    started = time.monotonic()
    names = list(backends) if backends is not None else None
    _check_backends(names)
    granted = parse_budget(budget) if budget is not None else None
    store = Store.open(store)
    config: dict[str, Any] = {}
    if resume is not None:
        record = store.get_run(resume)
        config = record.config
        kept = store.get_task(record.task)
        task = kept if task is None else _as_task(task)
        if granted is None:
            granted = Budget(**config["budget"])
        elif granted.seconds is not None:
            granted = replace(granted, seconds=granted.seconds + record.elapsed)
        names = names if names is not None else config.get("backends")
        proposers = proposers if proposers is not None else config.get("proposers")
        training = config.get("training") if training is None else training
        if policy == "uct":
            policy = config.get("policy", "uct")
    elif task is None:
        raise ValueError("task: got None, wanted a task or a file (or a run to resume)")
    else:
        task = _as_task(task)
        granted = granted or parse_budget("60s")
    with ExitStack() as stack:
        if judge is None:
            judge = stack.enter_context(_make_judge(settings, threads, task))
        lint = _lint(judge, task)
        threads = threads or getattr(judge, "threads", None) or 1
        run = Run(
            task,
            judge,
            store,
            proposers=proposers,
            budget=_without_reserve(granted),
            stated_budget=granted,
            policy=policy,
            seed=seed,
            backends=names,
            progress=progress,
            resume=resume,
            context={"device": device, "threads": threads, "report": lint},
            notes={"training": training},
            started=started,
            **run_options,
        )
        folder = Path(out) if out is not None else _folder(store) / run.id
        if getattr(lint, "verdict", "ok") == "untestable":
            run.stop_reason = "untestable"
        else:
            run.run()
        try:
            run.tell("ranking", f"measuring the best {top} again")
            ranking = final_ranking(judge, task, run.graph, top)
            backward = getattr(getattr(judge, "settings", None), "backward", None)
            return _conclude(run, ranking, folder, report, training, backward, device)
        except KeyboardInterrupt:
            store.end_run(run.id, "interrupted", elapsed=run.elapsed)
            raise Interrupted(run.id, store.url, run.graph.best_score) from None


def _conclude(
    run: Run,
    ranking: Ranking,
    folder: Path,
    report: bool,
    training: bool | None,
    backward: bool | None,
    device: str,
) -> OptimizeResult:
    """Write winner, result and report."""
    from kernelmill.search.report import write_report
    from kernelmill.search.winner import certify, save_winner

    node = run.graph[ranking.winner]
    is_reference = node.id == run.graph.root
    winner = certify(
        run.task,
        None if is_reference else node.candidate,
        node.evaluation,
        timing=ranking.timings.get(node.id) if ranking.remeasured else None,
        training=training,
        backward=bool(backward),
        device=device,
        summary=ranking.summary,
        run_id=run.id,
    )
    path = save_winner(winner, folder / "winner")
    result = {
        "winner": ranking.winner,
        "improved": ranking.improved,
        "summary": ranking.summary,
        "rows": [asdict(row) for row in ranking.rows],
        "timings": {str(k): asdict(t) for k, t in ranking.timings.items()},
        "remeasured": ranking.remeasured,
        "winner_path": str(path),
        "report_path": str(folder / "report.html") if report else None,
    }
    seconds = run.elapsed
    run.store.end_run(run.id, "done", run.stop_reason, result, seconds)
    written = None
    if report:
        written = write_report(run.store, run.id, folder / "report.html")
    run.tell("done", ranking.summary)
    return OptimizeResult(
        run_id=run.id,
        winner=node,
        improved=ranking.improved,
        summary=ranking.summary,
        rows=ranking.rows,
        stop_reason=run.stop_reason or "",
        winner_path=path,
        report_path=written,
        store=run.store.url,
        candidates=run.stopper.count,
        accepted=run.accepted,
        seconds=seconds,
    )


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
    """A module and example inputs in, a faster module out, with the same weights.

    The result runs the fastest kernel that was found and proven right for the examples' shapes,
    and the original module for every other call (`Deployed.explain` says which and why).

    Args:
        target: an ``nn.Module`` or a function of tensors; or a task or a problem file, whose
            ``Model`` is then made anew.
        example_inputs: what ``target`` is called with: a tensor, a list of arguments or a
            dictionary of keywords. Shapes, dtypes and the module's mode are what is proven.
        options: as for `optimize_task`, whose other arguments are these.

    Returns:
        a `Deployed` module. Its parameters are ``target``'s own.

    Raises:
        ValueError: example inputs are missing, or an argument is out of range.
        TaskError: ``target`` cannot be used.

    Example:
        >>> fast = optimize(model.eval(), [x], budget="30s")  # doctest: +SKIP
        >>> y = fast(x)  # doctest: +SKIP
    """
    from kernelmill.search.deployed import load

    module, training = None, None
    if isinstance(target, (str, Path, Task)):
        if example_inputs is not None:
            raise ValueError("example_inputs: only for modules; a task makes its own inputs")
        task = _as_task(target)
    else:
        if example_inputs is None:
            raise ValueError(
                f"example_inputs: needed for a {type(target).__name__}, wanted its arguments"
            )
        task = Task.from_module(target, example_inputs)
        module, training = _as_module(target)
    result = optimize_task(
        task,
        budget=budget,
        backends=backends,
        store=store,
        seed=seed,
        proposers=proposers,
        progress=progress,
        training=training,
        **options,
    )
    log.info("%s", result.summary)
    return load(result.winner_path, module)


def _as_module(target: Any) -> tuple[Any, bool | None]:
    """The module whose weights are used, and its mode."""
    import torch

    if isinstance(target, torch.nn.Module):
        return target, target.training

    class Function(torch.nn.Module):
        def forward(self, *args: Any, **kwargs: Any) -> Any:
            return target(*args, **kwargs)

    return Function(), None


def _as_task(task: Task | str | Path) -> Task:
    return task if isinstance(task, Task) else Task.from_file(task)


def _make_judge(settings: Any, threads: int | None, task: Task) -> Any:
    from kernelmill.evaluate import Judge, Settings

    if settings is None:
        settings = Settings(threads=threads)
    elif isinstance(settings, dict):
        settings = Settings(**{"threads": threads, **settings})
    return Judge(settings)


def _lint(judge: Any, task: Task) -> Any:
    return judge.lint(task) if hasattr(judge, "lint") else None


def _check_backends(names: Sequence[str] | None) -> None:
    if names is None:
        return
    from kernelmill.backends import names as known

    unknown = [name for name in names if name not in known()]
    if unknown or not names:
        raise ValueError(
            f"backends: got {', '.join(unknown) or 'none'}; known are {', '.join(known())}"
        )


def _without_reserve(budget: Budget) -> Budget:
    """Leave time for the final race within the budget."""
    if budget.seconds is None:
        return budget
    return replace(budget, seconds=budget.seconds - min(RESERVE * budget.seconds, RESERVE_S))


def _folder(store: Store) -> Path:
    path = store.path
    return Path(path).parent if path else Path("kernelmill-runs")


def stored_timings(result: dict[str, Any]) -> dict[int, Timing]:
    """The race's figures of a run's result."""
    return {
        int(node): Timing(**{**facts, "interval": tuple(facts["interval"])})
        for node, facts in json.loads(json.dumps(result.get("timings", {}))).items()
    }
