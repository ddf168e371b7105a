"""What judging costs: a warm judge beside one fresh interpreter per candidate.

    python benchmarks/evaluator.py [--candidates 12] [--fresh 3]

Checks that every verdict is the expected one before it prints a figure.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from kernelmill import Candidate, Task
from kernelmill.evaluate import Judge, Settings

REFERENCE = """
import torch

rows, cols = 256, 256


class Model(torch.nn.Module):
    def forward(self, x):
        return torch.softmax(x, dim=-1)


def get_inputs():
    return [torch.randn(rows, cols)]
"""
HONEST = REFERENCE.replace("Model(", "ModelNew(")
WRONG = HONEST.replace("torch.softmax(x, dim=-1)", "torch.softmax(x.half(), dim=-1).float()")


def texts(count: int) -> list[tuple[str, bool]]:
    """Different candidates, every third of them wrong."""
    return [
        (f"# candidate {i}\n{WRONG if i % 3 == 2 else HONEST}", i % 3 != 2) for i in range(count)
    ]


def timed(judge: Judge, task: Task, text: str, right: bool, timing: bool) -> float:
    start = time.perf_counter()
    answer = judge.evaluate(task, Candidate(text), timing=timing)
    seconds = time.perf_counter() - start
    assert answer.accepted == right, answer.reasons
    return seconds


def fresh_seconds(text: str, right: bool) -> float:
    """One `kernelmill evaluate` in an interpreter of its own."""
    with tempfile.TemporaryDirectory() as folder:
        reference, candidate = Path(folder, "reference.py"), Path(folder, "candidate.py")
        reference.write_text(REFERENCE)
        candidate.write_text(text)
        command = [sys.executable, "-m", "kernelmill", "evaluate", reference, candidate]
        start = time.perf_counter()
        done = subprocess.run([*command, "--no-timing"], capture_output=True)
        seconds = time.perf_counter() - start
    assert done.returncode == (0 if right else 1), done.stderr.decode()
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--candidates", type=int, default=12)
    parser.add_argument("--fresh", type=int, default=3)
    options = parser.parse_args()
    task = Task("softmax_256", REFERENCE)
    start = time.perf_counter()
    with Judge(Settings()) as judge:
        timed(judge, task, HONEST, True, timing=False)
        first = time.perf_counter() - start
        whole = statistics.median(timed(judge, task, HONEST, True, timing=True) for _ in range(3))
        start = time.perf_counter()
        batch = [timed(judge, task, *pair, timing=False) for pair in texts(options.candidates)]
        rate = len(batch) / (time.perf_counter() - start)
    fresh = [fresh_seconds(*pair) for pair in texts(options.fresh)]
    one = statistics.median(fresh)
    print(f"first verdict of a judge, start included   {first:6.2f} s")
    print(
        f"correctness only, warm (median of {len(batch)})       {statistics.median(batch):6.2f} s"
    )
    print(f"every probe and timing, warm (median of 3)  {whole:6.2f} s")
    print(f"one fresh interpreter per candidate         {one:6.2f} s")
    print(f"batch: {rate:.1f} candidates a second, {rate * one:.1f} times one interpreter each")


if __name__ == "__main__":
    main()
