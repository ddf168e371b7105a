"""``kernelmill bench baselines``: eager and torch.compile on every task of a suite."""

from __future__ import annotations

from kernelmill.bench.baselines import run
from kernelmill.bench.metrics import geometric_mean
from kernelmill.bench.store import BenchStore
from kernelmill.cli.bench.progress import bar
from kernelmill.cli.show import console, milliseconds, print_json, ratio, table
from kernelmill.tasks.suites import load_suite


def main(
    *,
    suite: str,
    size: str,
    repaired: bool,
    categories: list[str] | None,
    store: str | None,
    label: str,
    resume: str | None,
    workers: int,
    threads: int | None,
    as_json: bool,
) -> int:
    """Exit code 0 where every task has a result, be it that the compiler failed."""
    tasks = load_suite(suite, size, repaired=repaired, categories=categories)
    with BenchStore(store) as known:
        done = len(known.results(resume)) if resume else 0
        with bar("timed", len(tasks), done=done, quiet=as_json) as step:
            run_id = run(
                tasks, known, label=label, resume=resume, workers=workers, threads=threads,
                progress=lambda result: step(result.task),
            )  # fmt: skip
        results = known.results(run_id)
    if as_json:
        print_json({"run": run_id, "results": [result.to_dict() for result in results]})
        return 0
    out = console()
    groups: dict[str, list] = {}
    for result in results:
        groups.setdefault(result.category, []).append(result)
    shown = table(
        "category",
        "tasks",
        "eager",
        "torch.compile",
        "speed-up",
        "compiling",
        right=(1, 2, 3, 4, 5),
    )
    for name, group in {**groups, "all": results}.items():
        timed = [r for r in group if r.speedup is not None]
        mean = geometric_mean(r.speedup for r in timed) if timed else None
        shown.add_row(
            name, str(len(group)), milliseconds(sum(r.reference_ms for r in timed)),
            milliseconds(sum(r.candidate_ms for r in timed)), ratio(mean),
            f"{sum(r.seconds for r in group):.0f} s",
        )  # fmt: skip
    out.print(shown)
    for result in results:
        if result.code:
            out.print(f"{result.task}: {result.code}: {result.message}", markup=False)
    out.print(f"run {run_id} (times are sums, the speed-up is a geometric mean)")
    return 0
