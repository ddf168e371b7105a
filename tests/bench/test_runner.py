"""Runs over a folder of candidates: layouts, verdicts, resuming after a kill."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from kernelmill.bench.folder import Item, first_block, read_candidates
from kernelmill.bench.metrics import Score
from kernelmill.bench.result import Result
from kernelmill.bench.runner import Floor, run
from kernelmill.bench.store import BenchStore
from kernelmill.evaluate import Settings
from kernelmill.search.errors import StoreMismatch
from kernelmill.tasks import Candidate, CandidateError, Suite, Task
from kernelmill.tasks.suites import load_suite

QUICK = Settings(timing=False, threads=1)
TASKS = ["relu", "tanh", "softmax"]


@pytest.fixture
def suite():
    return load_suite("multikernelbench", tasks=TASKS)


def identity(task):
    return task.source.replace("class Model(", "class ModelNew(")


@pytest.fixture
def folder(suite, tmp_path):
    """relu: right and wrong; tanh: does not parse; softmax: never answered."""
    root = tmp_path / "answers"
    for name, number, text in (
        ("relu", 0, identity(suite["relu"])),
        ("relu", 1, identity(suite["relu"]).replace("torch.relu(x)", "torch.abs(x) * 0.5")),
        ("tanh", 0, "def ("),
    ):
        file = root / name / f"sample_{number}.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return root


def test_a_run_is_judged_and_scored(suite, folder, tmp_path):
    items, notes = read_candidates(folder, suite)
    assert notes == [] and [(i.task, i.sample) for i in items] == [
        ("relu", 0), ("relu", 1), ("tanh", 0),
    ]  # fmt: skip
    seen = []
    with BenchStore(tmp_path / "store.db") as store:
        run_id = run(suite, items, store, settings=QUICK, progress=seen.append, model="m")
        found = {(r.task, r.sample): r for r in store.results(run_id)}
        record = store.run(run_id)
    assert record.status == "done" and record.tasks == dict.fromkeys(TASKS, "activation")
    assert found["relu", 0].correct and not found["relu", 1].correct
    assert found["relu", 1].code == "wrong_values" and found["relu", 1].compiled
    assert found["tanh", 0].code == "syntax_error" and not found["tanh", 0].compiled
    assert len(seen) == 3 and seen[0].model == "m"
    # softmax was never answered and counts: (1/2 + 0 + 0) / 3
    assert Score(record.tasks, list(found.values())).pass_at(1) == pytest.approx(0.5 / 3)


def test_timing_follows_correctness(suite, folder, tmp_path):
    items, _ = read_candidates(folder, suite)
    settings = Settings(threads=1, runs=5, min_time_s=0.05)
    with BenchStore(tmp_path / "store.db") as store:
        found = store.results(run(suite, items, store, settings=settings))
    assert [r.speedup is not None for r in found] == [True, False, False]
    assert 0.2 < found[0].speedup < 5


def test_who_is_right_is_timed_together_and_a_spoiler_alone(suite, tmp_path):
    """A candidate that fails in the common race does not take the others with it."""
    right = identity(suite["relu"])
    counting = right.replace(
        "        return torch.relu(x)",
        "        self.calls = getattr(self, 'calls', 0) + 1\n"
        "        if self.calls > 60:\n"
        "            raise RuntimeError('tired')\n"
        "        return torch.relu(x)",
    )
    assert counting != right
    texts = [right, counting, right + "\n# again\n", right]
    items = [Item("relu", i, Candidate(text)) for i, text in enumerate(texts)]
    settings = Settings(threads=1, runs=40, min_time_s=0.05)
    with BenchStore(tmp_path / "store.db") as store:
        found = store.results(run(suite, items, store, settings=settings))
    assert [r.code for r in found] == ["", "runtime_error", "", ""]
    assert [r.speedup is not None for r in found] == [True, False, True, True]
    assert found[0].speedup == found[3].speedup  # the same text is judged once


def test_alone_means_that_the_others_wait():
    floor, inside, seen = Floor(), [], []

    def work(name):
        for _ in range(20):
            with floor.beside():
                inside.append(name)
                time.sleep(0.0005)
                inside.remove(name)
                with floor.alone():
                    seen.append(list(inside))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, "abcd"))
    assert seen == [[]] * 80


def test_nothing_is_judged_twice(suite, folder, tmp_path, monkeypatch):
    items, _ = read_candidates(folder, suite)
    with BenchStore(tmp_path / "store.db") as store:
        first = run(suite, items, store, settings=QUICK)
        calls = []
        monkeypatch.setattr(
            "kernelmill.evaluate.Judge.evaluate_all", lambda *args, **_: calls.append(args)
        )
        second = run(suite, items, store, settings=QUICK)
        assert store.results(second) == store.results(first) and calls == []
        assert run(suite, items, store, settings=QUICK, resume=first) == first


DRIVER = """
import sys
from kernelmill.bench.folder import read_candidates
from kernelmill.bench.runner import Floor, run
from kernelmill.bench.store import BenchStore
from kernelmill.evaluate import Settings
from kernelmill.tasks.suites import load_suite
suite = load_suite("multikernelbench", categories=["activation"])
items, _ = read_candidates(sys.argv[1], suite)
with BenchStore(sys.argv[2]) as store:
    resume = store.runs()[0].id if store.runs() else None
    run(suite, items, store, resume=resume, settings=Settings(timing=False, threads=1))
"""


@pytest.mark.slow
def test_a_killed_run_goes_on(tmp_path):
    suite = load_suite("multikernelbench", categories=["activation"])
    folder = tmp_path / "answers"
    folder.mkdir()
    for task in suite:
        (folder / f"{task.name}.py").write_text(identity(task))
    command = [sys.executable, "-c", DRIVER, str(folder), str(tmp_path / "store.db")]
    for _ in range(3):
        process = subprocess.Popen(command, start_new_session=True)
        deadline = time.monotonic() + 60
        before = _count(tmp_path)
        while _count(tmp_path) <= before and time.monotonic() < deadline:
            time.sleep(0.1)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    subprocess.run(command, check=True)
    with BenchStore(tmp_path / "store.db") as store:
        [record] = store.runs()
        found = store.results(record.id)
    assert record.status == "done"
    assert [r.task for r in found] == sorted(task.name for task in suite)
    assert all(r.correct for r in found)


def _count(tmp_path):
    if not (tmp_path / "store.db").exists():
        return 0
    try:
        with BenchStore(tmp_path / "store.db") as store:
            return sum(len(store.results(r.id)) for r in store.runs())
    except Exception:
        return 0


def test_public_layouts_are_read(suite, tmp_path):
    kernelbench = tmp_path / "kb"
    kernelbench.mkdir()
    (kernelbench / "level_1_problem_19_sample_2_kernel.py").write_text("class ModelNew: ...")
    (kernelbench / "level_2_problem_1_sample_0_kernel.py").write_text("class ModelNew: ...")
    (kernelbench / "eval_results.json").write_text("{}")
    items, notes = read_candidates(kernelbench, suite)
    assert [(i.task, i.sample) for i in items] == [("relu", 2)]
    assert len(notes) == 1 and "no task 'L2/1'" in notes[0]

    multi = tmp_path / "0.0-1.0" / "model" / "run1"
    multi.mkdir(parents=True)
    (multi / "softmax.txt").write_text("Sure:\n```python\nclass ModelNew: ...\n```\nDone.")
    items, _ = read_candidates(tmp_path / "0.0-1.0", suite)
    assert [(i.task, i.sample, i.candidate.source) for i in items] == [
        ("softmax", 1, "class ModelNew: ...")
    ]


def test_misplaced_candidates_are_told(suite, tmp_path):
    with pytest.raises(CandidateError, match="no such folder"):
        read_candidates(tmp_path / "none", suite)
    (tmp_path / "sofmax.py").write_text("x = 1")
    with pytest.raises(CandidateError, match="nearest: softmax"):
        read_candidates(tmp_path, suite)
    (tmp_path / "relu.py").write_text("x = 1")
    items, notes = read_candidates(tmp_path, suite)
    assert len(items) == 1 and "nearest: softmax" in notes[0]
    (tmp_path / "relu").mkdir()
    (tmp_path / "relu" / "sample_0.py").write_text("x = 1")
    with pytest.raises(CandidateError, match="is there twice"):
        read_candidates(tmp_path, suite)


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ("```python\na = 1\n```\n```cpp\nb\n```", "a = 1"),
        ("plain = 2", "plain = 2"),
        ("```\ncut = 3", "cut = 3"),
        ("``` json\n{}\n```", "{}"),
    ],
)
def test_first_block(answer, code):
    assert first_block(answer) == code


def test_runs_are_found_by_id_prefix_and_label():
    store = BenchStore(":memory:")
    suite = Suite("mine", "1", (Task("a", "..."),))
    first = store.create_run(suite, label="old")
    second = store.create_run(suite, label="new")
    assert store.run("old").id == first and store.run(second).label == "new"
    assert store.run(first[:-1]).id == first or first[:-1] == second[:-1]
    with pytest.raises(StoreMismatch, match="several runs 'mine'"):
        store.run("mine")
    with pytest.raises(StoreMismatch, match="no run 'none'"):
        store.run("none")
    with pytest.raises(StoreMismatch, match="other tasks"):
        store.claim(first, Suite("mine", "1", (Task("a", "---"),)))
    store.add(first, Result("a", "", "cpp", speedup=2.0, interval=(1.0, 3.0)))
    store.add(first, Result("a", "", "cpp", speedup=9.0))  # the first one stays
    assert store.results(first) == [Result("a", "", "cpp", speedup=2.0, interval=(1.0, 3.0))]
    store.delete_run(first)
    assert [r.id for r in store.runs()] == [second]
