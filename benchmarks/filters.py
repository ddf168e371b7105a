"""The flags of weak tasks, found again: our filters beside the published tables.

    python benchmarks/filters.py [--category activation ...] [--out build/filters.jsonl]

Every task of MultiKernelBench at its head shapes with a smaller batch. Prints where flags differ
from those of the table, and what did not fit. What is in the file is not computed again.
"""

from __future__ import annotations

import argparse
import csv
import json
from dataclasses import asdict
from pathlib import Path

from kernelmill.bench.weakness import review
from kernelmill.tasks import TaskError
from kernelmill.tasks.suites import CATEGORIES, load_suite

TABLE = Path(__file__).parents[1] / "tests" / "data" / "multikernelbench-tasks.csv"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--category", action="append", choices=CATEGORIES)
    parser.add_argument("--out", type=Path, default=Path("build/filters.jsonl"))
    parser.add_argument("--mib", type=int, default=512)
    options = parser.parse_args()
    options.out.parent.mkdir(parents=True, exist_ok=True)
    known = {}
    if options.out.exists():
        lines = options.out.read_text(encoding="utf-8").splitlines()
        known = {row["task"]: row for row in map(json.loads, lines)}
    with open(TABLE, newline="", encoding="utf-8") as file:
        rows = {row["task"]: row for row in csv.DictReader(file)}
    suite = load_suite("multikernelbench", "head", categories=options.category)
    counts = {"agree": 0, "differ": 0, "not run": 0}
    with open(options.out, "a", encoding="utf-8") as log:
        for task in suite:
            row = known.get(task.name)
            if row is None:
                try:
                    row = asdict(review(task, max_bytes=options.mib << 20))
                except (TaskError, RuntimeError, MemoryError) as error:
                    row = {"task": task.name, "error": str(error).splitlines()[0][:200]}
                log.write(json.dumps(row) + "\n")
                log.flush()
            if "error" in row:
                counts["not run"] += 1
                print(f"not run  {task.name}: {row['error']}", flush=True)
                continue
            wanted = set(filter(None, rows[task.name]["weak_output_flags"].split("|")))
            found = {flag for flag in row["weak"] if "@" in flag}
            counts["agree" if wanted == found else "differ"] += 1
            if wanted != found:
                print(f"differs  {task.name}: {sorted(found)}, the table has {sorted(wanted)}; "
                      f"{row['overrides']}", flush=True)  # fmt: skip
    print(counts)


if __name__ == "__main__":
    main()
