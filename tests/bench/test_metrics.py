"""Metrics against numbers worked out by hand."""

import itertools
import math

import pytest

from kernelmill.bench.metrics import (
    Score,
    bootstrap,
    geometric_mean,
    pass_at_k,
    speedup_over_configurations,
)
from kernelmill.bench.result import Result


def sample(task, number=0, speedup=None, *, compiled=True, correct=True, category="x", **fields):
    return Result(task, category, "cpp", number, compiled, correct, speedup, **fields)


@pytest.mark.parametrize(("n", "c", "k"), itertools.product([5], range(6), range(1, 6)))
def test_pass_at_k_counts_subsets(n, c, k):
    right = [i < c for i in range(n)]
    subsets = list(itertools.combinations(right, k))
    assert pass_at_k(n, c, k) == pytest.approx(sum(map(any, subsets)) / len(subsets))


@pytest.mark.parametrize(("n", "c", "k"), [(3, 4, 1), (3, -1, 1), (3, 1, 4), (3, 1, 0)])
def test_pass_at_k_refuses(n, c, k):
    with pytest.raises(ValueError, match="must be between"):
        pass_at_k(n, c, k)


def test_pass_at_k_of_many():
    # 1 - C(9999, 1) / C(10000, 1)
    assert pass_at_k(10000, 1, 1) == pytest.approx(1e-4)
    assert pass_at_k(10000, 5000, 100) == pytest.approx(1.0)


TASKS = {"a": "x", "b": "x", "c": "y", "never": "y"}
# a: 1.0 and 2.0; b: one wrong, one that was not built; c: 0.5 and one right but not timed
RESULTS = [
    sample("a", 0, 1.0),
    sample("a", 1, 2.0),
    sample("b", 0, correct=False, stage="correctness", code="wrong_values"),
    sample("b", 1, compiled=False, correct=False, stage="build", code="build_failed"),
    sample("c", 0, 0.5, category="y"),
    sample("c", 1, category="y"),
]
SCORE = Score(TASKS, RESULTS)


def test_shares_by_hand():
    assert SCORE.compilation_at(1) == (1 + 0.5 + 1 + 0) / 4
    assert SCORE.compilation_at(2) == (1 + 1 + 1 + 0) / 4
    assert SCORE.pass_at(1) == (1 + 0 + 1 + 0) / 4
    # >= here: both samples of a; at 2 only one of its two
    assert SCORE.speedup_at(1.0, 1) == 1 / 4
    assert SCORE.speedup_at(2.0, 1) == 0.5 / 4
    assert SCORE.speedup_at(2.0, 2) == 1 / 4
    # > here: 1.0 is not above 1
    assert SCORE.fast_p(1.0) == 0.5 / 4
    assert SCORE.fast_p(2.0) == 0
    # of c, one of two was timed
    assert SCORE.fast_p(0) == (1 + 0 + 0.5 + 0) / 4


def test_means_and_groups_by_hand():
    assert SCORE.geomean_speedup() == pytest.approx(math.sqrt(2.0 * 0.5))
    assert SCORE.geomean_speedup(faster_only=True) == 2.0
    groups = SCORE.by_category()
    assert {name: group.pass_at(1) for name, group in groups.items()} == {"x": 0.5, "y": 0.5}
    # macro of speedup_1@1: x has (1 + 0) / 2, y has 0
    assert SCORE.macro(lambda score: score.speedup_at(1.0, 1)) == 0.25
    assert list(SCORE.by_platform()) == ["cpp"]
    assert SCORE.failures() == {("correctness", "wrong_values"): 1, ("build", "build_failed"): 1}
    assert SCORE.samples() == 2


def test_k_beyond_the_samples_is_refused():
    with pytest.raises(ValueError, match="got k=3, n=2"):
        SCORE.pass_at(3)


def test_foreign_results_are_refused():
    with pytest.raises(ValueError, match="'z', which is not in tasks"):
        Score(TASKS, [sample("z")])
    with pytest.raises(ValueError, match="at least one task"):
        Score({}, [])


def test_headline_numbers():
    found = SCORE.to_dict()
    assert found["pass@1"]["value"] == 0.5
    low, high = found["pass@1"]["interval"]
    assert 0 <= low < 0.5 < high <= 1
    assert "pass@5" not in found
    assert found["fast_p"]["1"] == 0.125


def test_geometric_mean_goes_through_logs():
    assert geometric_mean([10.0] * 10_000) == pytest.approx(10.0)
    assert math.isnan(geometric_mean([]))
    with pytest.raises(ValueError, match="must be positive"):
        geometric_mean([1.0, 0.0])


def test_configurations():
    # (1 + 100) / (0.25 + 100) = 1.00748, sqrt(4 * 1) = 2
    assert speedup_over_configurations([1, 100], [0.25, 100]) == pytest.approx((101 / 100.25, 2))
    with pytest.raises(ValueError, match="1 and 2"):
        speedup_over_configurations([1], [1, 2])


def test_bootstrap_of_a_share():
    # A share of 0.5 over 100 tasks: +- 1.96 * 0.5 / 10
    low, high = bootstrap([0.0, 1.0] * 50)
    assert low == pytest.approx(0.402, abs=0.02) and high == pytest.approx(0.598, abs=0.02)
    assert bootstrap([0.0, 1.0] * 50) == (low, high)
    with pytest.raises(ValueError, match="at least one"):
        bootstrap([])


@pytest.mark.parametrize(
    ("published", "passed"),
    # MultiKernelBench, Pass@1 on CUDA in percent of 285 tasks
    [(21.4, 61), (22.5, 64), (15.8, 45), (23.2, 66), (47.0, 134), (52.6, 150), (44.2, 126)],
)
def test_published_shares_are_counts_of_285(published, passed):
    tasks = {f"t{i}": "x" for i in range(285)}
    results = [sample(f"t{i}", correct=i < passed) for i in range(285)]
    assert round(100 * Score(tasks, results).pass_at(1), 1) == published
