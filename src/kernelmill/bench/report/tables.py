"""What a report says, as tables that every format shows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from kernelmill.bench.compare import rank
from kernelmill.bench.metrics import Score
from kernelmill.bench.result import Result
from kernelmill.bench.store import BenchRun
from kernelmill.tasks.suites import CATEGORIES, EXTRA

PS = (0.5, 0.8, 1.0, 1.5, 2.0)
KS = (1, 5, 10)


@dataclass(frozen=True)
class Line:
    """A run on one platform: what is compared with others.

    Attributes:
        name: unique in the report: label or id of the run, and the platform where it has several.
    """

    name: str
    run: BenchRun
    platform: str
    results: tuple[Result, ...]

    @cached_property
    def score(self) -> Score:
        return Score(self.run.tasks, self.results)

    def settings(self, key: str) -> str:
        """What the run's config or else its results say of ``model`` or ``strategy``."""
        said = {getattr(result, key) for result in self.results} - {""}
        return ", ".join(sorted(said)) or str(self.run.config.get(key) or "")


@dataclass(frozen=True)
class Table:
    """Rows under named columns. Numbers stay numbers; ``None`` is what is not known.

    Attributes:
        key: of files and anchors. kinds: of each column: ``text``, ``count``, ``share`` (0 to 1),
            ``ratio`` or ``seconds``.
    """

    key: str
    title: str
    note: str
    columns: tuple[str, ...]
    kinds: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]


def lines_of(runs: Sequence[tuple[BenchRun, Sequence[Result]]]) -> list[Line]:
    """A line for each platform of each run, in the order given.

    Raises:
        ValueError: there is no run, or one without a result.
    """
    if not runs:
        raise ValueError("runs must name at least one run")
    found: list[Line] = []
    taken: set[str] = set()
    for run, results in runs:
        if not results:
            raise ValueError(f"run {run.id} has no results yet")
        platforms = sorted({result.platform for result in results})
        for platform in platforms:
            name = run.label or run.id
            if len(platforms) > 1:
                name = f"{name} {platform}"
            if name in taken:
                name = f"{name} ({run.id}, {platform})"
            taken.add(name)
            chosen = tuple(r for r in results if r.platform == platform)
            found.append(Line(name, run, platform, chosen))
    return found


def tables(lines: Sequence[Line]) -> list[Table]:
    """The tables of a report, in order."""
    return [summary(lines), curves(lines), categories(lines), failures(lines), tasks(lines)]


def summary(lines: Sequence[Line]) -> Table:
    ks = [k for k in KS if any(line.score.samples() >= k for line in lines)]
    columns = [("run", "text"), ("model", "text"), ("strategy", "text"), ("platform", "text"),
               ("suite", "text"), ("tasks", "count"), ("samples", "count")]  # fmt: skip
    for k in ks:
        columns += [(f"compiled@{k}", "share"), (f"pass@{k}", "share"), (f"pass@{k} low", "share"),
                    (f"pass@{k} high", "share"), (f"speedup_1@{k}", "share")]  # fmt: skip
    columns += [("geomean", "ratio"), ("judging", "seconds")]
    rows = []
    for line in lines:
        found = line.score.to_dict(ks)
        row: list[Any] = [
            line.name, line.settings("model"), line.settings("strategy"), line.platform,
            f"{line.run.suite} {line.run.version}", found["tasks"], found["samples"],
        ]  # fmt: skip
        for k in ks:
            if f"pass@{k}" in found:
                low, high = found[f"pass@{k}"]["interval"]
                row += [found[f"compilation@{k}"]["value"], found[f"pass@{k}"]["value"], low, high,
                        found[f"speedup_1@{k}"]["value"]]  # fmt: skip
            else:
                row += [None] * 5
        row += [_known(found["geomean"]), sum(r.seconds for r in line.results)]
        rows.append(tuple(row))
    note = (
        "Shares of all tasks of the suite, answered or not, with 95 % bootstrap intervals over "
        "tasks. speedup_1: right and at least as fast as the reference. geomean: of the best "
        "speed-up of each task that was solved."
    )
    return _table("summary", "Runs", note, columns, rows)


def curves(lines: Sequence[Line]) -> Table:
    columns = [("run", "text"), ("fast_0", "share"), *((f"fast_{p:g}", "share") for p in PS)]
    rows = [(line.name, *(line.score.fast_p(p) for p in (0.0, *PS))) for line in lines]
    note = "fast_p: right and more than p times as fast as the reference, of one sample a task."
    return _table("fast_p", "Speed", note, columns, rows)


def categories(lines: Sequence[Line]) -> Table:
    columns = [("category", "text"), ("tasks", "count")]
    measures: list[tuple[str, str, Callable[[Score], Any]]] = [
        ("compiled", "share", lambda s: s.compilation_at(1)),
        ("correct", "share", lambda s: s.pass_at(1)),
        ("speedup_1", "share", lambda s: s.speedup_at(1.0, 1)),
        ("geomean", "ratio", lambda s: _known(s.geomean_speedup())),
    ]
    for line in lines:
        columns += [(f"{line.name}: {name}", kind) for name, kind, _ in measures]
    parts = [line.score.by_category() for line in lines]
    rows = []
    for name in in_order({name for part in parts for name in part}):
        row: list[Any] = [name, max(len(p[name].tasks) for p in parts if name in p)]
        for part in parts:
            row += [f(part[name]) if name in part else None for _, _, f in measures]
        rows.append(tuple(row))
    return _table("categories", "Categories", "At one sample a task.", columns, rows)


def in_order(names: set[str]) -> list[str]:
    """Categories in the order of the suites; others behind them."""
    known = [*CATEGORIES, *EXTRA]
    return sorted(names, key=lambda n: (known.index(n) if n in known else len(known), n))


def failures(lines: Sequence[Line]) -> Table:
    columns = [("run", "text"), ("stage", "text"), ("reason", "text"), ("samples", "count"),
               ("of all", "share")]  # fmt: skip
    rows = [
        (line.name, stage, code or "none given", count, count / len(line.results))
        for line in lines
        for (stage, code), count in line.score.failures().items()
    ]
    note = "What was not right, by the stage of the judge that refused it and its reason."
    return _table("failures", "Refused", note, columns, rows)


def tasks(lines: Sequence[Line]) -> Table:
    """The best sample of every task, or why the first one failed."""
    columns = [("task", "text"), ("category", "text"), ("run", "text"), ("verdict", "text"),
               ("speed-up", "ratio"), ("low", "ratio"), ("high", "ratio"), ("right", "count"),
               ("samples", "count"), ("reason", "text")]  # fmt: skip
    rows = []
    for line in lines:
        by_task: dict[str, list[Result]] = {name: [] for name in line.run.tasks}
        for result in line.results:
            by_task[result.task].append(result)
        for name, samples in by_task.items():
            right = [r for r in samples if r.correct]
            best = max(samples, key=rank, default=None)
            reason = f"{best.code}: {best.message}".strip(": ") if best and not right else ""
            low, high = (best.interval or (None, None)) if best else (None, None)
            rows.append((
                name, line.run.tasks[name], line.name,
                "right" if right else best.status if best else "no answer",
                best.speedup if best else None, low, high, len(right), len(samples), reason,
            ))  # fmt: skip
    rows.sort(key=lambda row: row[8] == 0)
    note = "The fastest right sample of every task; for others the first refusal."
    return _table("tasks", "Tasks", note, columns, rows)


def _known(value: float) -> float | None:
    return value if value == value else None


def _table(
    key: str, title: str, note: str, columns: Sequence[tuple[str, str]], rows: Sequence[tuple]
) -> Table:
    names, kinds = zip(*columns, strict=True)
    return Table(key, title, note, names, kinds, tuple(rows))
