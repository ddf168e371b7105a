"""``kernelmill bench compare|leaderboard``: runs side by side."""

from __future__ import annotations

import time

from kernelmill.bench.compare import SAME, compare
from kernelmill.bench.metrics import Score
from kernelmill.bench.store import BenchStore
from kernelmill.cli.show import console, print_json, ratio, table


def main(old: str, new: str, threshold: float, store: str | None, as_json: bool) -> int:
    """Exit code 1 where something was lost or became slower."""
    with BenchStore(store) as known:
        before, after = known.results(old), known.results(new)
    found = compare(before, after, threshold)
    if as_json:
        print_json(found.to_dict())
        return 1 if found.regressions else 0
    out = console()
    shown = table("task", "platform", "", "before", "after", "factor", right=(3, 4, 5))
    for change in found.changes:
        if change.kind != SAME:
            shown.add_row(
                change.task, change.platform, change.kind,
                ratio(change.old.speedup if change.old else None),
                ratio(change.new.speedup if change.new else None), ratio(change.factor),
            )  # fmt: skip
    if shown.row_count:
        out.print(shown)
    kinds = ", ".join(f"{found.count(k)} {k}" for k in ("lost", "slower", "gained", "faster"))
    out.print(f"{kinds}, {found.count(SAME)} the same")
    if found.geomean == found.geomean:
        out.print(f"speed-up after / before: {ratio(found.geomean, found.interval)}")
    out.print(f"gained against lost: p = {found.p_value:.3g}")
    return 1 if found.regressions else 0


def leaderboard(suite: str | None, store: str | None, as_json: bool) -> int:
    """A line for each run and platform, best first."""
    rows = []
    with BenchStore(store) as known:
        for record in known.runs():
            if suite and record.suite != suite:
                continue
            if record.config.get("kind") == "baseline":
                continue
            score = Score(record.tasks, known.results(record.id))
            for platform, part in score.by_platform().items():
                rows.append((record, platform, part))
    rows.sort(key=lambda row: (-row[2].pass_at(1), -row[2].fast_p(1.0)))
    if as_json:
        print_json(
            [
                {
                    "run": record.id, "label": record.label, "suite": record.suite,
                    "version": record.version, "model": record.config.get("model", ""),
                    "strategy": record.config.get("strategy", ""), "platform": platform,
                    "status": record.status, **part.to_dict(),
                }
                for record, platform, part in rows
            ]
        )  # fmt: skip
        return 0
    shown = table(
        "run", "label", "model", "platform", "suite", "correct", "fast_1", "geomean", "from",
        right=(5, 6, 7),
    )  # fmt: skip
    for record, platform, part in rows:
        mean = part.geomean_speedup()
        day = time.strftime("%Y-%m-%d %H:%M", time.localtime(record.created))
        shown.add_row(
            record.id, record.label, record.config.get("model", ""), platform,
            f"{record.suite} {record.version}", f"{100 * part.pass_at(1):.1f} %",
            f"{100 * part.fast_p(1.0):.1f} %", ratio(mean if mean == mean else None), day,
        )  # fmt: skip
    console().print(shown if rows else "no runs")
    return 0
