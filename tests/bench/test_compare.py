"""Comparison of two runs by hand-made results."""

import math

import pytest

from kernelmill.bench.compare import compare, mcnemar
from kernelmill.bench.result import Result
from kernelmill.bench.store import BenchStore
from kernelmill.cli import main
from kernelmill.tasks import Suite, Task


def timed(task, speedup, width=0.05):
    return Result(
        task, "x", "cpp", 0, True, True, speedup, interval=(speedup - width, speedup + width)
    )


def failed(task):
    return Result(task, "x", "cpp", 0, True, False, code="wrong_values", message="off by one")


OLD = [timed("slow", 2.0), timed("fast", 1.0), timed("noise", 1.0, 0.4), timed("gone", 1.0),
       failed("new"), timed("little", 1.0)]  # fmt: skip
NEW = [timed("slow", 1.0), timed("fast", 2.0), timed("noise", 0.8, 0.4), failed("gone"),
       timed("new", 1.0), timed("little", 0.96)]  # fmt: skip


def test_each_kind_of_change():
    found = compare(OLD, NEW)
    assert {c.task: c.kind for c in found.changes} == {
        "slow": "slower", "fast": "faster", "noise": "same", "gone": "lost", "new": "gained",
        "little": "same",
    }  # fmt: skip
    assert {c.task for c in found.regressions} == {"slow", "gone"}
    # (0.5 * 2 * 0.8 * 0.96) ** (1 / 4)
    assert found.geomean == pytest.approx(0.768**0.25)
    assert found.interval[0] < found.geomean < found.interval[1]
    assert found.p_value == 1.0
    assert [c["reason"] for c in found.to_dict()["changes"] if c["kind"] == "lost"] == [
        "off by one"
    ]


def test_the_best_sample_counts_and_missing_ones_are_not_solved():
    old = [timed("a", 1.0), failed("a"), timed("b", 1.0)]
    found = compare(old, [timed("a", 1.01)])
    assert {c.task: c.kind for c in found.changes} == {"a": "same", "b": "lost"}


def test_untimed_runs_have_no_factor():
    plain = [Result("a", "x", "cpp", correct=True)]
    assert math.isnan(compare(plain, plain).geomean)


def test_exact_test_by_hand():
    # two-sided binomial: 2 * (1 + 5) / 2^5 and 2 * (1 + 7 + 21) / 2^7
    assert mcnemar(1, 4) == 12 / 32
    assert mcnemar(5, 2) == 58 / 128
    assert mcnemar(3, 3) == 1.0


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="threshold must be in"):
        compare(OLD, NEW, 1.5)
    with pytest.raises(ValueError, match="no task on a platform in common"):
        compare([timed("a", 1.0)], [timed("b", 1.0)])


def test_exit_codes(tmp_path, capsys):
    file = str(tmp_path / "store.db")
    names = {r.task for r in OLD}
    suite = Suite("mine", "1", tuple(Task(name, "...", category="x") for name in sorted(names)))
    with BenchStore(file) as store:
        for label, results in (("old", OLD), ("new", NEW)):
            run = store.create_run(suite, label=label, config={"model": "m"})
            for result in results:
                store.add(run, result)
    assert main(["bench", "compare", "old", "new", "--store", file]) == 1
    assert "1 lost, 1 slower, 1 gained, 1 faster, 2 the same" in capsys.readouterr().out
    assert main(["bench", "compare", "old", "old", "--store", file]) == 0
    assert main(["bench", "compare", "old", "none", "--store", file]) == 2
    capsys.readouterr()
    assert main(["bench", "leaderboard", "--store", file]) == 0
    assert capsys.readouterr().out.count("83.3 %") == 2
