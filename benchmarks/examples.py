"""`kernelmill optimize` on the shipped example tasks: eager, torch.compile and the winner.

    python benchmarks/examples.py [--budget 45s] [task ...]

Every figure is from the final heat of a run, in which the reference, torch.compile and the winner
are timed in turn after all were judged right.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from datetime import date
from pathlib import Path

import torch

from kernelmill.backends.doctor import cpu_model
from kernelmill.search import optimize_task

EXAMPLES = Path(__file__).resolve().parent.parent / "examples" / "tasks"
HEAD = ("task", "eager ms", "torch.compile ms", "winner ms", "vs eager", "vs torch.compile", "by")


def row(path: Path, budget: str, folder: str) -> list[str]:
    result = optimize_task(
        str(path), budget=budget, store=f"{folder}/{path.stem}.db", out=f"{folder}/{path.stem}",
        report=False,
    )  # fmt: skip
    rows = {r.label: r for r in result.rows}
    eager, winner, compiled = rows["eager"], rows["winner"], rows.get("torch.compile")
    against = f"{compiled.ms / winner.ms:.2f}x" if compiled else "-"
    low, high = winner.interval
    return [
        path.stem, f"{eager.ms:.2f}", f"{compiled.ms:.2f}" if compiled else "-",
        f"{winner.ms:.2f}", f"{winner.ratio:.2f}x ({low:.2f}-{high:.2f})", against, winner.name,
    ]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tasks", nargs="*", help="stems of files below examples/tasks")
    parser.add_argument("--budget", default="45s")
    options = parser.parse_args()
    paths = [EXAMPLES / f"{name}.py" for name in options.tasks] or sorted(EXAMPLES.glob("*.py"))
    print(
        f"{cpu_model()}, {len(os.sched_getaffinity(0))} CPUs, torch {torch.__version__}, "
        f"{date.today()}, budget {options.budget} a task\n"
    )
    print("| " + " | ".join(HEAD) + " |")
    print("|" + " --- |" * len(HEAD), flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for path in paths:
            print("| " + " | ".join(row(path, options.budget, folder)) + " |", flush=True)


if __name__ == "__main__":
    main()
