"""Of the mutants of an honest kernel at least 29 in 30 are refused.

Mutants that mean the same as the original (reviewed by hand, with the reason) do not count.
"""

from __future__ import annotations

import pytest

from kernelmill.bench.exploits import catalogue as suite
from kernelmill.evaluate import Judge, Settings
from kernelmill.tasks import Candidate
from tests.evaluate.mutations import mutants

LAST = "the last dimension of two is dimension 1"
EMPTY = "the first sum is multiplied by exp(-inf) = 0, whatever it is"
EQUIVALENT: dict[str, dict[str, str]] = {
    "layer_norm_by_hand": {"14: -1 -> 1": LAST, "15: -1 -> 1": LAST},
    "softmax_online": {
        "12: x.new_zeros(x.shape[0], 1) -> x": EMPTY,
        "12: x.new_zeros -> x.new_ones": EMPTY,
    },
    "gru_by_hand": {"16: -1 -> 1": LAST},
}


@pytest.fixture(scope="module")
def judge():
    with Judge(Settings(timing=False, threads=1)) as judge:
        yield judge


@pytest.mark.parametrize("name", EQUIVALENT)
def test_mutants_are_refused(name, judge):
    case = next(case for case in suite.cases("honest") if case.name == name)
    every = mutants(case.candidate.source)
    assert set(EQUIVALENT[name]) <= {mutant.change for mutant in every}, "the list is stale"
    sample = [mutant for mutant in every if mutant.change not in EQUIVALENT[name]]
    assert len(sample) >= 30
    survivors = []
    for mutant in sample:
        answer = judge.evaluate(case.task, Candidate(mutant.source))
        if answer.status not in ("reject", "error"):
            survivors.append(mutant.change)
    assert 30 * len(survivors) <= len(sample), survivors
