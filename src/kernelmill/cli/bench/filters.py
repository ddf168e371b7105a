"""``kernelmill bench filters``: weak tasks of a suite."""

from __future__ import annotations

from dataclasses import asdict

from kernelmill.bench.weakness import review
from kernelmill.cli.bench.progress import bar
from kernelmill.cli.show import console, print_json, table
from kernelmill.tasks import Suite, TaskError


def main(suite: Suite, seeds: int, mib: int, verbose: bool, as_json: bool) -> int:
    """Exit code 1 where a task is weak or could not be run."""
    rows, failed = [], {}
    with bar("reviewed", len(suite), quiet=as_json) as step:
        for task in suite:
            try:
                rows.append(review(task, seeds=seeds, max_bytes=mib << 20))
            except (TaskError, RuntimeError, MemoryError) as error:
                failed[task.name] = str(error).splitlines()[0]
            step(task.name)
    weak = [row for row in rows if row.weak or row.upstream]
    if as_json:
        print_json({"suite": suite.name, "tasks": [asdict(r) for r in rows], "not_run": failed})
        return 1 if weak or failed else 0
    shown = table("task", "passes for an answer", "robust-kbench's filters", "inputs change",
                  "weights change", "made smaller", right=(3, 4))  # fmt: skip
    for row in rows if verbose else weak:
        by_weights = row.relative["weights"]
        shown.add_row(
            row.task, " ".join(row.weak), " ".join(row.upstream),
            f"{row.relative['inputs']:.2g}", "-" if by_weights is None else f"{by_weights:.2g}",
            " ".join(f"{k}={v}" for k, v in row.overrides.items()),
        )  # fmt: skip
    out = console()
    if shown.row_count:
        out.print(shown)
    for name, why in failed.items():
        out.print(f"not run: {name}: {why}")
    out.print(f"{len(weak)} of {len(rows)} tasks are weak, {len(failed)} not run")
    return 1 if weak or failed else 0
