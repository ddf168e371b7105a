from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

import pytest

from kernelmill.search.budget import Budget
from kernelmill.search.errors import Interrupted, StoreMismatch
from kernelmill.search.run import Run
from kernelmill.search.store import Store
from tests.search.fakes import TASK, Counting, FakeJudge, hash_score

ROOT = Path(__file__).parents[2]


def make(store, judge=None, candidates=20, resume=None, **options):
    return Run(
        TASK,
        judge or FakeJudge(),
        store,
        proposers=[Counting("a"), Counting("b")],
        budget=Budget(candidates=candidates),
        seed=3,
        resume=resume,
        **options,
    )


def rows(run: Run):
    return [(n.id, n.parents, n.candidate.source, n.fitness) for n in run.graph.nodes.values()]


@pytest.mark.parametrize("policy", ["greedy", "uct", "evolutionary"])
def test_a_resumed_run_equals_an_uninterrupted_one(policy):
    whole = make(Store(":memory:"), policy=policy)
    whole.run()
    for step in (1, 3, 13):
        store, judge, run_id = Store(":memory:"), FakeJudge(), None
        for candidates in [*range(step, 20, step), 20]:
            run = make(store, judge, candidates, run_id, policy=policy)
            run.run()
            run_id = run.id
        assert rows(run) == rows(whole)
        assert len(judge.paid) == 20


class Stopped(FakeJudge):
    """Ctrl-C during the n-th evaluation."""

    def __init__(self, at: int):
        super().__init__()
        self.at = at

    def evaluate(self, task, candidate, timing=True):
        if len(self.paid) == self.at:
            raise KeyboardInterrupt
        return super().evaluate(task, candidate)


@pytest.mark.parametrize("at", [0, 1, 5, 19])
def test_ctrl_c_keeps_everything(at, tmp_path):
    place = tmp_path / "runs.db"
    judge = Stopped(at)
    with pytest.raises(Interrupted, match="can be resumed") as caught:
        make(place, judge).run()
    store = Store(place)
    run_id = caught.value.run_id
    assert store.get_run(run_id).status == "interrupted"
    records = store.load_nodes(run_id)
    assert sum(r.node.evaluation is not None for r in records) == at
    assert [r.node.id for r in records if r.pending] == [at + 1]
    again = FakeJudge()
    run = make(store, again, resume=run_id)
    run.run()
    whole = make(Store(":memory:"))
    whole.run()
    assert rows(run) == rows(whole)
    assert not set(judge.paid) & set(again.paid)


def test_a_real_ctrl_c_stops_a_search_within_its_evaluation(tmp_path):
    class Slow(FakeJudge):
        def evaluate(self, task, candidate, timing=True):
            threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT)).start()
            threading.Event().wait(30)
            return super().evaluate(task, candidate)

    judge = Slow()
    # a job that a shell started in the background ignores the signal
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(Interrupted):
            make(tmp_path / "runs.db", judge).run()
    finally:
        signal.signal(signal.SIGINT, before)
    assert not judge.paid


def test_an_ended_run_has_nothing_left_to_do():
    store, judge = Store(":memory:"), FakeJudge()
    first = make(store, judge)
    first.run()
    again = make(store, judge, resume=first.id)
    again.run()
    assert again.stop_reason == "max_artifacts" and len(judge.paid) == 20
    assert rows(again) == rows(first)
    more = make(store, judge, 25, resume=first.id)
    more.run()
    assert len(judge.paid) == 25


def test_an_unknown_run_cannot_be_resumed():
    with pytest.raises(StoreMismatch, match="no run 'nothing'"):
        make(Store(":memory:"), resume="nothing")


def test_another_task_cannot_go_on_with_a_run():
    from kernelmill.tasks import Task

    store = Store(":memory:")
    run = make(store)
    with pytest.raises(StoreMismatch, match="task"):
        Run(Task("b", "x = 1"), FakeJudge(), store, proposers=[Counting()], resume=run.id)


def test_a_second_run_pays_for_nothing_that_is_known():
    store, judge = Store(":memory:"), FakeJudge()
    make(store, judge).run()
    second = make(store, judge)
    second.run()
    assert len(judge.paid) == 20
    assert all(r.reused for r in store.load_nodes(second.id)[1:])
    other = FakeJudge()
    other.environment_key = {"machine": "another"}
    make(store, other).run()
    assert len(other.paid) == 20


KILLS = 60


def test_nothing_is_lost_or_paid_twice_however_often_it_is_killed(tmp_path):
    """SIGKILL at random moments: every evaluation that ended is in the store, and the only ones
    that were paid for again are those in flight when the kill came."""
    driver = [sys.executable, "-m", "tests.search.kill_driver", str(tmp_path), str(KILLS), "5"]
    done = subprocess.run(driver, cwd=ROOT, capture_output=True, text=True)
    crash = tmp_path / "crash"
    assert not crash.exists(), crash.read_text()
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 50
    run_id = (tmp_path / "run_id").read_text()
    paid = [json.loads(line) for line in (tmp_path / "paid.log").read_text().splitlines()]
    store = Store(tmp_path / "runs.db")
    before = store.load_nodes(run_id)
    # finish without a kill, so that what was in flight is settled as well
    total = len(before) + 5
    judge = FakeJudge(hash_score)
    run = Run(
        TASK,
        judge,
        store,
        proposers=[Counting("a"), Counting("b")],
        budget=Budget(candidates=total),
        policy="evolutionary",
        seed=7,
        resume=run_id,
    )
    run.run()
    nodes = list(run.graph.nodes.values())[1:]
    assert len(nodes) == total and not run.graph.pending
    # nothing lost: whatever was paid for is a node with that verdict
    by_hash = {n.candidate.hash: n for n in nodes}
    assert len(by_hash) == len(nodes)
    assert {h for _, h in paid} <= set(by_hash)
    assert all(n.fitness == pytest.approx(hash_score(n.candidate)) for n in nodes)
    # nothing paid twice, but for the one evaluation that each killed process had in flight
    last_of_process = dict(paid)  # the last line of each process
    in_flight = Counter(last_of_process.values())
    for candidate, times in Counter(h for _, h in paid).items():
        assert times - 1 <= in_flight[candidate]
    settled = {r.node.candidate.hash for r in before if r.node.evaluation}
    assert not settled & set(judge.paid)
    # and the run is the one that would have been without a kill
    whole = Run(
        TASK,
        FakeJudge(hash_score),
        Store(":memory:"),
        proposers=[Counting("a"), Counting("b")],
        budget=Budget(candidates=total),
        policy="evolutionary",
        seed=7,
    )
    whole.run()
    assert rows(run) == rows(whole)
