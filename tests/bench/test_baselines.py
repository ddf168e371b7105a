"""Baselines: every task gets a result, whatever its reference does."""

import os
import signal
import subprocess
import sys
import time

import pytest

from kernelmill.bench.baselines import baselines, run
from kernelmill.bench.store import BenchStore
from kernelmill.tasks import Suite, Task

TEXT = """
import torch
class Model(torch.nn.Module):
    def forward(self, x):
        {body}
def get_inputs():
    return [torch.randn(40, 50)]
"""
BODIES = {
    "plain": "return torch.relu(x) * 2 + 1",
    "random": "return x + torch.rand_like(x)",
    "broken": "raise RuntimeError('no such layer')",
    "dies": "import os; os._exit(3)",
    "tuple": "return x.sum(), (x.argmax(), [x > 0])",
}
SUITE = Suite(
    "mine", "1", tuple(Task(n, TEXT.format(body=b), category="x") for n, b in BODIES.items())
)


def test_each_task_has_a_result():
    seen = []
    with BenchStore(":memory:") as store:
        run_id = run(SUITE, store, workers=2, threads=1, progress=seen.append)
        found = baselines(store, run_id)
        assert baselines(store) == found  # by its label
        assert store.run(run_id).status == "done"
        assert store.run(run_id).config["machine"]["cpu"]
    assert set(found) == set(BODIES) and len(seen) == len(BODIES)
    for name in ("plain", "tuple"):
        assert found[name].correct and found[name].code == ""
        ratio = found[name].reference_ms / found[name].candidate_ms
        assert found[name].speedup == pytest.approx(ratio, rel=1.0) and found[name].seconds > 0
    assert found["random"].code == "random_reference" and found["random"].speedup is None
    assert found["random"].candidate_ms > 0
    assert "no such layer" in found["broken"].message and not found["broken"].compiled
    assert found["dies"].code == "crashed" and "code 3" in found["dies"].message


def test_results_are_not_measured_twice(monkeypatch):
    suite = Suite("mine", "1", SUITE.tasks[:1])
    with BenchStore(":memory:") as store:
        run_id = run(suite, store, threads=1)
        monkeypatch.setattr("kernelmill.bench.baselines._batch", None)
        assert run(suite, store, threads=1, resume=run_id) == run_id


@pytest.mark.parametrize("arguments", [{"workers": 0}, {"threads": -1}])
def test_numbers_are_checked(arguments):
    with BenchStore(":memory:") as store, pytest.raises(ValueError, match="must be positive"):
        run(SUITE, store, **arguments)


DRIVER = """
import sys
from kernelmill.bench.baselines import run
from kernelmill.bench.store import BenchStore
from kernelmill.tasks.suites import load_suite
suite = load_suite("multikernelbench", categories=["broadcast"])
with BenchStore(sys.argv[1]) as store:
    known = store.runs()
    run(suite, store, threads=1, resume=known[0].id if known else None)
"""


@pytest.mark.slow
def test_a_killed_run_goes_on(tmp_path):
    command = [sys.executable, "-c", DRIVER, str(tmp_path / "store.db")]
    process = subprocess.Popen(command)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not _results(tmp_path):
        time.sleep(0.2)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    before = _results(tmp_path)
    assert before
    subprocess.run(command, check=True)
    after = _results(tmp_path)
    assert len(after) == 10 and after[: len(before)] != []
    assert all(result in after for result in before)


def _results(tmp_path):
    if not (tmp_path / "store.db").exists():
        return []
    with BenchStore(tmp_path / "store.db") as store:
        return [result for record in store.runs() for result in store.results(record.id)]
