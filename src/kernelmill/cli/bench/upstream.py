"""``kernelmill bench import|export``: result files of other benchmarks."""

from __future__ import annotations

import sys
from pathlib import Path

from kernelmill.bench.metrics import Score
from kernelmill.bench.store import BenchStore
from kernelmill.bench.upstream import UpstreamError, read_baseline, read_results, write_results
from kernelmill.cli.bench.run import print_score
from kernelmill.cli.show import console, print_json
from kernelmill.tasks.suites import kernelbench_problems, load_suite


def import_(
    path: Path,
    suite: str,
    size: str,
    level: int | None,
    platform: str,
    baseline: Path | None,
    label: str,
    store: str | None,
    as_json: bool,
) -> int:
    """Every sample becomes a result of a new run."""
    tasks = load_suite(suite, size)
    problems = kernelbench_problems(tasks)
    times = read_baseline(baseline, problems, platform) if baseline else None
    results, notes = read_results(
        path, {t.name: t.category or "" for t in tasks}, problems=problems, level=level,
        platform=platform, baseline=times,
    )  # fmt: skip
    for note in notes:
        print(f"kernelmill: {note}", file=sys.stderr)
    if not results:
        raise UpstreamError(f"{path}: has no result for a task of {tasks.name}")
    with BenchStore(store) as known:
        config = {"kind": "import", "path": str(path), "baseline": str(baseline or "")}
        run = known.create_run(tasks, label, config)
        for result in results:
            known.add(run, result)
        known.finish(run)
        score = Score(known.run(run).tasks, known.results(run))
    if as_json:
        print_json({"run": run, "left_out": notes, **score.to_dict()})
        return 0
    print_score(score)
    console().print(f"run {run}: {len(results)} results")
    return 0


def export(run: str, out: Path, form: str, store: str | None, as_json: bool) -> int:
    """Writes the files; says which tasks have no place in them."""
    with BenchStore(store) as known:
        record = known.run(run)
        results = known.results(record.id)
    tasks = load_suite(record.suite)
    written, left = write_results(results, out, form, problems=kernelbench_problems(tasks))
    if left:
        print(f"kernelmill: no problem of KernelBench: {', '.join(left)}", file=sys.stderr)
    if as_json:
        print_json({"files": [str(path) for path in written], "left_out": left})
        return 0
    for path in written:
        console().print(str(path))
    return 0
