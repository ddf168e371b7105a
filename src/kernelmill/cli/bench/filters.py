"""``kernelmill bench filters``: weak tasks of a suite."""

from __future__ import annotations

from dataclasses import asdict

from kernelmill.bench.opinion import opinion
from kernelmill.bench.weakness import review
from kernelmill.cli.bench.asking import asking
from kernelmill.cli.bench.progress import bar
from kernelmill.cli.show import console, print_json, ratio, table
from kernelmill.tasks import Suite, TaskError


def main(
    suite: Suite,
    seeds: int,
    mib: int,
    model: str | None,
    base_url: str | None,
    api_key_env: str,
    verbose: bool,
    as_json: bool,
) -> int:
    """Exit code 1 where a task is weak or could not be run. A model's opinion changes nothing."""
    rows, failed, opinions = [], {}, {}
    if model:
        with asking(model, base_url, api_key_env) as ask:
            opinions = {task.name: opinion(ask, task.source) for task in suite}
    with bar("reviewed", len(suite), quiet=as_json) as step:
        for task in suite:
            try:
                rows.append(review(task, seeds=seeds, max_bytes=mib << 20))
            except (TaskError, RuntimeError, MemoryError) as error:
                failed[task.name] = str(error).splitlines()[0]
            step(task.name)
    weak = [r for r in rows if r.degenerate or r.weak or r.upstream or r.redundant]
    if as_json:
        said = {name: asdict(found) for name, found in opinions.items()}
        print_json({"suite": suite.name, "tasks": [asdict(r) for r in rows], "not_run": failed,
                    "opinions": said})  # fmt: skip
        return 1 if weak or failed else 0
    shown = table("task", "degenerate", "passes for an answer", "robust-kbench's filters",
                  "can be left out", "inputs change", "weights change", "traffic", "made smaller",
                  right=(5, 6, 7))  # fmt: skip
    for row in rows if verbose else weak:
        by_weights = row.relative["weights"]
        shown.add_row(
            row.task, " ".join(row.degenerate), " ".join(row.weak), " ".join(row.upstream),
            ", ".join(row.redundant),
            f"{row.relative['inputs']:.2g}", "-" if by_weights is None else f"{by_weights:.2g}",
            ratio(row.overhead), " ".join(f"{k}={v}" for k, v in row.overrides.items()),
        )  # fmt: skip
    out = console()
    if shown.row_count:
        out.print(shown)
    for name, found in opinions.items():
        words = [w for w in ("redundant", "inefficient") if getattr(found, w)]
        if words:
            out.print(f"{name}: {model} calls it {' and '.join(words)}")
    for name, why in failed.items():
        out.print(f"not run: {name}: {why}")
    out.print(f"{len(weak)} of {len(rows)} tasks are weak, {len(failed)} not run")
    return 1 if weak or failed else 0
