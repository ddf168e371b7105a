"""``kernelmill optimize``."""

from __future__ import annotations

import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn
from rich.text import Text

from kernelmill import backends as backends_
from kernelmill.backends.device import default_device
from kernelmill.cli import show
from kernelmill.cli.load import load_task
from kernelmill.tasks import Task, TaskError


def main(
    reference: str | None,
    *,
    budget: str | None,
    backends: list[str] | None,
    proposers: list[str] | None,
    store: str | None,
    resume: str | None,
    settings: list[str],
    policy: str,
    seed: int,
    threads: int | None,
    out: Path | None,
    backward: bool,
    require_sandbox: bool,
    as_json: bool,
) -> int:
    from kernelmill.search import Store, optimize_task, parse_budget

    limit = None if budget is None else parse_budget(budget)
    for name in backends or ():
        usable = backends_.get(name).available()
        if not usable.usable:
            raise ValueError(f"backend {name} cannot be used here: {usable.reason}")
    task = _task(reference, settings, resume, store, Store)
    if backward:
        task = replace(task, backward=True)
    from kernelmill.evaluate import Settings

    with _Bar(quiet=as_json) as bar:
        result = optimize_task(
            task,
            budget=limit,
            backends=backends,
            proposers=proposers,
            store=store,
            resume=resume,
            policy=policy,
            seed=seed,
            out=out,
            threads=threads,
            settings=Settings(threads=threads, require_sandbox=require_sandbox),
            progress=bar,
            device=default_device(),
        )
    if as_json:
        show.print_json(_facts(result))
    else:
        _print(result)
    return 0


def _task(
    reference: str | None, settings: list[str], resume: str | None, store: str | None, Store: Any
) -> Task:
    if reference is not None:
        return load_task(reference, settings)
    if resume is None:
        raise TaskError("REFERENCE is missing: a problem file or module:attr (or --resume RUN)")
    if settings:
        raise TaskError("--set belongs to a REFERENCE; a resumed run keeps its own values")
    opened = Store.open(store)
    return opened.get_task(opened.get_run(resume).task)


class _Bar:
    """A progress bar on standard error; lines instead where it is no terminal."""

    def __init__(self, quiet: bool):
        console = Console(stderr=True, highlight=False, soft_wrap=True)
        self.quiet = quiet
        self.terminal = console.is_terminal
        self.console = console
        self.progress = Progress(
            SpinnerColumn(),
            BarColumn(bar_width=16),
            TextColumn("{task.fields[clock]}"),
            TextColumn("{task.fields[tally]}"),
            TextColumn("[dim]{task.description}"),
            console=console,
            transient=True,
            disable=quiet or not self.terminal,
        )
        self.bar = self.progress.add_task("starting", total=None, clock="", tally="")

    def __enter__(self) -> _Bar:
        self.progress.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self.progress.stop()

    def __call__(self, event: Any) -> None:
        if self.quiet:
            return
        if event.kind == "node":
            self._line(event)
        elif event.kind == "start":
            self.console.print(Text(event.message))
        limit = f" of {event.limit:.0f} s" if event.limit else " s"
        self.progress.update(
            self.bar,
            total=event.limit,
            completed=min(event.seconds, event.limit or event.seconds),
            clock=f"{event.seconds:.0f}{limit}",
            tally=f"{event.candidates} judged, {event.accepted} right, best {event.best:.2f}x",
            description=f"{event.kind}: {event.message}"[: max(0, self.console.width - 68)],
        )

    def _line(self, event: Any) -> None:
        """What became of a candidate."""
        evaluation = event.node.evaluation if event.node else None
        if evaluation is None:
            return
        if evaluation.accepted and evaluation.timing:
            outcome = show.ratio(evaluation.timing.ratio, evaluation.timing.interval)
        elif evaluation.reasons:
            outcome = f"{evaluation.status}: {evaluation.reasons[0].code}"
        else:
            outcome = evaluation.status
        self.console.print(Text(f"  {event.seconds:6.1f} s  {outcome:24} {event.message}"))


def _print(result: Any) -> None:
    out = show.console()
    out.print()
    out.print(show.results(result.rows))
    out.print()
    out.print(Text(result.summary, style="bold"))
    out.print(Text(f"stopped after {result.seconds:.0f} s by: {result.stop_reason}"))
    out.print(Text(f"run     {result.run_id} in {result.store}"))
    out.print(Text(f"winner  {result.winner_path}  (kernelmill.load)"))
    if result.report_path:
        out.print(Text(f"report  {result.report_path}"))
    sys.stdout.flush()


def _facts(result: Any) -> dict[str, Any]:
    candidate = result.winner.candidate
    return {
        "run": result.run_id,
        "improved": result.improved,
        "summary": result.summary,
        "stop_reason": result.stop_reason,
        "rows": [asdict(row) for row in result.rows],
        "winner": {
            "node": result.winner.id,
            "name": candidate.name,
            "backend": candidate.backend,
            "hash": candidate.hash,
            "path": str(result.winner_path),
        },
        "report": str(result.report_path) if result.report_path else None,
        "store": result.store,
        "candidates": result.candidates,
        "accepted": result.accepted,
        "seconds": result.seconds,
    }
