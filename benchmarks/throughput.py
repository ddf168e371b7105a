"""Candidates per minute: the judge beside one process per candidate, in one run.

    python benchmarks/throughput.py [--tasks 12] [--samples 8] [--rounds 2]

Both judge the same candidates of small tasks of all categories: for each task the reference itself
under the candidate's name and a wrong variant, in turn, each sample with a text of its own. The
plain harness does what published ones do: a process that imports torch, executes both texts,
compares five seeds at 1e-4 and, where it times, times 100 calls after three warm-ups. Two of its
processes work side by side; where they time, one, since a neighbour spoils the clock. The judge
does all of its stages with two workers, which wait for each other where the clock runs,
at the default of `kernelmill bench run`: 20 rounds of three calls.
Rounds alternate; medians are printed.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from kernelmill.bench.folder import Item
from kernelmill.bench.runner import run
from kernelmill.bench.store import BenchStore
from kernelmill.evaluate import Settings
from kernelmill.search.environment import cpu
from kernelmill.tasks import Candidate, Suite
from kernelmill.tasks.suites import CATEGORIES, load_suite

PLAIN = """
import json, sys, time, torch
torch.set_num_threads(1)
reference, candidate = {}, {}
exec(compile(open(sys.argv[1]).read(), "reference", "exec"), reference)
exec(compile(open(sys.argv[2]).read(), "candidate", "exec"), candidate)
def build(space, name):
    torch.manual_seed(42)
    return space[name](*reference["get_init_inputs"]())
model, new = build(reference, "Model"), build(candidate, "ModelNew")
right = True
with torch.no_grad():
    for seed in range(5):
        torch.manual_seed(seed)
        inputs = reference["get_inputs"]()
        a, b = model(*inputs), new(*inputs)
        right = right and a.shape == b.shape and torch.allclose(a, b, atol=1e-4, rtol=1e-4)
    times = []
    for n in range(103) if right and sys.argv[3] == "timing" else ():
        start = time.perf_counter()
        new(*inputs)
        times.append(time.perf_counter() - start)
print(json.dumps({"correct": right, "ms": 10 * sum(times[3:])}))
"""


def candidates(count: int, samples: int) -> tuple[Suite, list[Item]]:
    """Tasks of all categories in turn; right and wrong candidates in turn."""
    suite = load_suite("multikernelbench")
    groups = [[t for t in suite if t.category == name] for name in CATEGORIES if name != "arch"]
    chosen = [group[i] for i in range(max(map(len, groups))) for group in groups if i < len(group)]
    items, kept = [], []
    for task in chosen:
        body = task.source.replace("class Model(", "class ModelNew(")
        returns = [line for line in body.splitlines() if line.startswith("        return ")]
        if not returns or "x.scatter" in body or len(kept) == count:
            continue
        kept.append(task)
        answer = returns[-1].strip().removeprefix("return ")
        wrong = body.replace(returns[-1], f"        return 0.9 * ({answer}) + 0.01")
        items += [
            Item(task.name, i, Candidate(f"{wrong if i % 2 else body}\n# sample {i}\n"))
            for i in range(samples)
        ]
    return Suite("throughput", "1", tuple(kept)), items


def plain(suite: Suite, items: list[Item], timing: bool) -> tuple[float, list[bool]]:
    """Seconds, and what was found correct."""
    with tempfile.TemporaryDirectory() as folder:

        def one(number: int) -> bool:
            item = items[number]
            files = [Path(folder, f"{number}-{role}.py") for role in ("reference", "candidate")]
            files[0].write_text(suite[item.task].source)
            files[1].write_text(item.candidate.source)
            mode = "timing" if timing else "correctness"
            command = [sys.executable, "-c", PLAIN, *map(str, files), mode]
            done = subprocess.run(command, capture_output=True, text=True, timeout=180)
            return done.returncode == 0 and json.loads(done.stdout)["correct"]

        start = time.perf_counter()
        with ThreadPoolExecutor(1 if timing else 2) as pool:
            found = list(pool.map(one, range(len(items))))
        return time.perf_counter() - start, found


def judge(suite: Suite, items: list[Item], timing: bool) -> tuple[float, list[bool]]:
    settings = Settings(timing=timing, threads=1, runs=20)
    with tempfile.TemporaryDirectory() as folder, BenchStore(Path(folder, "store.db")) as store:
        start = time.perf_counter()
        run_id = run(suite, items, store, settings=settings, workers=2)
        seconds = time.perf_counter() - start
        found = {(r.task, r.sample): r.correct for r in store.results(run_id)}
    return seconds, [found[item.task, item.sample] for item in items]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", type=int, default=12)
    parser.add_argument("--samples", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=2)
    options = parser.parse_args()
    suite, items = candidates(options.tasks, options.samples)
    wanted = [item.sample % 2 == 0 for item in items]
    sides = {
        f"{name}, {'with timing' if timing else 'correctness'}": (side, timing)
        for timing in (False, True)
        for name, side in (("one process each", plain), ("judge", judge))
    }
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(options.rounds):
        for name, (side, timing) in sides.items():
            spent, found = side(suite, items, timing)
            if side is judge and found != wanted:
                odd = [i.task for i, f, w in zip(items, found, wanted, strict=True) if f != w]
                raise SystemExit(f"{name}: wrong verdicts on {odd}")
            agree = sum(f == w for f, w in zip(found, wanted, strict=True))
            seconds[name].append(spent)
            print(f"{name}: {spent:.1f} s, {agree} of {len(items)} verdicts right", flush=True)
    print(f"{cpu()['model']}, {len(os.sched_getaffinity(0))} cores, {len(items)} candidates")
    middle = {name: statistics.median(values) for name, values in seconds.items()}
    for name, (_, timing) in sides.items():
        base = middle[f"one process each, {'with timing' if timing else 'correctness'}"]
        rate = 60 * len(items) / middle[name]
        print(f"{name:30s} {rate:6.0f} candidates per minute  {base / middle[name]:.2f}x")


if __name__ == "__main__":
    main()
