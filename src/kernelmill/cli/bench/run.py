"""``kernelmill bench run``: judge a folder of candidates."""

from __future__ import annotations

import sys
from pathlib import Path

from kernelmill.bench.folder import read_candidates
from kernelmill.bench.generation import generation_of
from kernelmill.bench.metrics import Score
from kernelmill.bench.runner import run
from kernelmill.bench.store import BenchStore
from kernelmill.cli.bench.progress import bar
from kernelmill.cli.show import console, print_json, ratio, table
from kernelmill.evaluate import Settings
from kernelmill.tasks.suites import load_suite


def main(
    folder: Path,
    *,
    suite: str,
    size: str,
    repaired: bool,
    categories: list[str] | None,
    backend: str | None,
    store: str | None,
    resume: str | None,
    label: str,
    workers: int,
    threads: int | None,
    timing: bool,
    runs: int,
    as_json: bool,
) -> int:
    """Exit code 0 where every candidate was judged, whatever the verdicts."""
    tasks = load_suite(suite, size, repaired=repaired, categories=categories)
    asked = generation_of(folder)  # who wrote the candidates, and in what
    items, notes = read_candidates(folder, tasks, backend or asked.get("backend"))
    for note in notes:
        print(f"kernelmill: {note}", file=sys.stderr)
    with BenchStore(store) as known:
        done = 0
        if resume:
            done = len(known.results(resume))
        with bar("judged", len(items), done=done, quiet=as_json) as step:
            run_id = run(
                tasks, items, known, resume=resume, label=label, workers=workers,
                settings=Settings(timing=timing, threads=threads, runs=runs),
                model=asked.get("model", ""), strategy=asked.get("strategy", ""),
                progress=lambda result: step(result.task),
            )  # fmt: skip
        results = known.results(run_id)
        score = Score(known.run(run_id).tasks, results)
    if as_json:
        print_json({"run": run_id, **score.to_dict(), "results": [r.to_dict() for r in results]})
        return 0
    print_score(score)
    console().print(f"run {run_id}")
    return 0


def print_score(score: Score) -> None:
    """Tables of a score: by category, and what was refused why."""
    k = max(score.samples(), 1)
    shown = table(
        "category", "tasks", "compiled", "correct", "speed-up >= 1", "geomean",
        right=(1, 2, 3, 4, 5),
    )  # fmt: skip
    rows = {**score.by_category(), "all": score}
    for name, part in rows.items():
        mean = part.geomean_speedup()
        shown.add_row(
            name, str(len(part.tasks)), f"{100 * part.compilation_at(1):.1f} %",
            f"{100 * part.pass_at(1):.1f} %", f"{100 * part.speedup_at(1.0, 1):.1f} %",
            ratio(mean if mean == mean else None),
        )  # fmt: skip
    out = console()
    out.print(shown)
    if k > 1:
        out.print(
            f"at {k} samples: compiled {100 * score.compilation_at(k):.1f} %, "
            f"correct {100 * score.pass_at(k):.1f} %, "
            f"speed-up >= 1 {100 * score.speedup_at(1.0, k):.1f} %"
        )
    for (stage, code), count in score.failures().items():
        out.print(f"{count} x {code or 'no reason'} at {stage}")
