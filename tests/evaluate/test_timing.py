"""Statistics of timing, and the cross-check of clocks, on made-up measurements."""

from __future__ import annotations

import numpy as np
import pytest

from kernelmill.evaluate import timing


def racer(claimed, beyond, warm=None):
    made = timing.Racer(None, "a")
    made.claimed = list(claimed)
    made.beyond = list(beyond)
    made.warm = list(claimed if warm is None else warm)
    made.beyond_warm = list(beyond)
    return made


def noise(mean, count=40, seed=0, spread=0.05):
    return mean * (1 + spread * np.random.default_rng(seed).random(count))


def test_medians_and_ratio():
    reference, fast = racer([4e6, 6e6, 5e6], [1, 1, 1]), racer([1e6, 2e6, 3e6], [1, 1, 1])
    found = timing.summarise(reference, fast, 0.5)
    assert (found.reference_ms, found.candidate_ms, found.ratio) == (5.0, 2.0, 2.5)
    assert found.interval[0] <= found.ratio <= found.interval[1]
    assert found.runs == 3 and found.floor_ms == 0.5


def test_the_interval_covers_the_true_ratio():
    rng = np.random.default_rng(1)
    hits = 0
    for _ in range(100):
        a, b = rng.normal(3.0, 0.3, 40), rng.normal(2.0, 0.2, 40)
        low, high = timing.ratio_interval(a, b, samples=400)
        hits += low <= 1.5 <= high
    assert hits >= 85


def test_hidden_work_is_found():
    reference = racer(noise(2e6), noise(1e6, seed=1))
    honest = racer(noise(1e6, seed=2), noise(1e6, seed=3))
    timing._check_clock(1, reference, honest)
    liar = racer(noise(1e5, seed=2), noise(2.9e6, seed=3))
    with pytest.raises(timing.TimingFault) as caught:
        timing._check_clock(1, reference, liar)
    assert caught.value.code == "clock_mismatch" and caught.value.index == 1


def test_a_busy_machine_is_no_evidence():
    reference = racer(noise(2e6), noise(1e6, seed=1))
    late = noise(1e6, seed=3)
    late[::2] += 8e6  # every second answer waited for a time slice
    timing._check_clock(1, reference, racer(noise(1e6, seed=2), late))
