"""Kills runs. ``python kill_driver.py FOLDER KILLS SEED``: forks a run, kills it at a random
moment, resumes it, and so on; prints the number of kills that hit a living run."""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from pathlib import Path

from kernelmill.search.budget import Budget
from kernelmill.search.run import Run
from tests.search.fakes import TASK, Counting, FakeJudge, hash_score


def slow_score(candidate):
    time.sleep(0.0005)
    return hash_score(candidate)


def search(folder: Path, candidates: int, run_id: str | None) -> None:
    run = Run(
        TASK,
        FakeJudge(slow_score, log=folder / "paid.log"),
        folder / "runs.db",
        proposers=[Counting("a"), Counting("b")],
        budget=Budget(candidates=candidates),
        policy="evolutionary",
        seed=7,
        resume=run_id,
    )
    if run_id is None:
        (folder / "run_id.new").write_text(run.id)
        (folder / "run_id.new").rename(folder / "run_id")  # whole or not at all
    run.run()


def child(folder: Path, candidates: int, run_id: str | None) -> int:
    pid = os.fork()
    if pid == 0:
        try:
            search(folder, candidates, run_id)
        except BaseException:
            import traceback

            (folder / "crash").write_text(traceback.format_exc())
        finally:
            os._exit(0)
    return pid


def main(folder: Path, kills: int, seed: int) -> None:
    rng = random.Random(seed)
    hits = 0
    while hits < kills:
        known = folder / "run_id"
        run_id = known.read_text() if known.exists() else None
        pid = child(folder, 10**6, run_id)
        time.sleep(rng.uniform(0.0, 0.15))
        os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        hits += os.WIFSIGNALED(status)
        if (folder / "crash").exists():
            return
    print(hits)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
