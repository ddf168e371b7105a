"""``kernelmill bench list|show``: what is in the suites."""

from __future__ import annotations

from typing import Any

from kernelmill.cli.show import console, print_json, table
from kernelmill.tasks import Program, Suite, Task
from kernelmill.tasks.suites import load_suite
from kernelmill.tasks.suites.catalog import CATEGORIES, EXTRA, entry_of


def list_(
    suite: str,
    size: str,
    categories: list[str] | None,
    weak: bool,
    repaired: bool,
    verbose: bool,
    as_json: bool,
) -> int:
    """Categories with their counts; with ``verbose`` or a category, every task."""
    found = load_suite(suite, size, repaired=repaired, categories=categories)
    rows = [_row(found, task) for task in found]
    if weak:
        rows = [row for row in rows if row["weak"]]
    if as_json:
        print_json({"suite": found.name, "version": found.version, "tasks": rows})
        return 0
    out = console()
    if verbose or categories or weak:
        shown = table("task", "category", "weak", "description")
        for row in rows:
            shown.add_row(row["name"], row["category"], " ".join(row["weak"]), row["description"])
        out.print(shown)
    counts = {row["category"]: 0 for row in rows}
    weak_counts = dict(counts)
    for row in rows:
        counts[row["category"]] += 1
        weak_counts[row["category"]] += bool(row["weak"])
    summary = table("category", "tasks", "weak", right=(1, 2))
    order = [*CATEGORIES, *EXTRA]
    for name in sorted(counts, key=lambda n: order.index(n) if n in order else len(order)):
        summary.add_row(name, str(counts[name]), str(weak_counts[name] or ""))
    out.print(summary)
    out.print(f"{found.name} {found.version}: {len(rows)} tasks in {len(counts)} categories")
    return 0


def _row(suite: Suite, task: Task) -> dict[str, Any]:
    entry = entry_of(suite.name, task.name)
    lines = task.source.splitlines()
    return {
        "name": task.name,
        "category": task.category or "",
        "description": entry.description if entry else lines[0].strip('"'),
        "kernelbench": entry.kernelbench if entry else "",
        "weak": list(entry.weak) if entry else [],
        "note": entry.note if entry else "",
        "repaired": bool(entry and entry.source(repaired=True) != entry.source()),
        "hash": task.hash,
    }


def show(suite: str, task: str, size: str, repaired: bool, as_json: bool) -> int:
    """One task: facts, costs and its reference."""
    found = load_suite(suite, size, repaired=repaired, categories=_all(suite), tasks=[task])
    chosen = found[task]
    cost = Program(chosen).estimate()
    row = _row(found, chosen)
    if as_json:
        costs = None if cost is None else {
            "inputs": [str(s) for s in cost.input_specs],
            "outputs": [str(s) for s in cost.output_specs],
            "flops": cost.flops, "bytes": cost.bytes, "peak": cost.peak,
        }  # fmt: skip
        print_json({**row, "size": size, "cost": costs, "source": chosen.source})
        return 0
    out = console()
    facts = table("", "")
    for key in ("name", "category", "kernelbench", "note"):
        if row[key]:
            facts.add_row(key, row[key])
    if row["weak"]:
        facts.add_row("weak", ", ".join(row["weak"]))
    if row["repaired"]:
        facts.add_row("repaired", "shown" if repaired else "there is one: --repaired")
    if cost is not None:
        facts.add_row("inputs", ", ".join(map(_spec, cost.input_specs)))
        facts.add_row("outputs", ", ".join(map(_spec, cost.output_specs)))
        facts.add_row("weights", f"{cost.parameters / 2**20:.2f} MiB")
        facts.add_row("least traffic", f"{cost.bytes / 2**20:.2f} MiB")
        facts.add_row("FLOPs", f"{cost.flops:.3g} (products, convolutions, attention)")
    out.print(facts)
    out.print(chosen.source, markup=False)
    return 0


def _all(suite: str) -> list[str] | None:
    return [*CATEGORIES, *EXTRA] if suite == "multikernelbench" else None


def _spec(spec: Any) -> str:
    return f"{spec.dtype}{list(spec.shape)}" if spec.is_tensor else spec.dtype
