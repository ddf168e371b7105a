"""Every task of the suites under the judge: the reference itself, as a candidate, is right."""

import pytest

from kernelmill.evaluate import Judge, Settings
from kernelmill.tasks import Candidate
from kernelmill.tasks.suites import CATEGORIES, EXTRA, load_suite
from kernelmill.tasks.suites.catalog import entry_of

# Constant in their faithful form: whatever a candidate answers, no speed-up is reported. Tasks that
# draw random numbers in forward (lstm, matmul_dropout_mean_softmax) are judged under one seed.
UNTESTABLE = {
    "conv3d_group_norm_min_clamp_dropout", "gemm_max_subtract_gelu",
    "matmul_subtract_multiply_relu",
}  # fmt: skip
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def judge():
    with Judge(Settings(timing=False, threads=1)) as made:
        yield made


def itself(task):
    return Candidate(task.source.replace("class Model(", "class ModelNew("), "torch")


@pytest.mark.parametrize("repaired", [False, True], ids=["faithful", "repaired"])
@pytest.mark.parametrize("category", [*CATEGORIES, *EXTRA])
def test_the_reference_is_a_right_candidate(category, repaired, judge):
    wrong = {}
    for task in load_suite("multikernelbench", repaired=repaired, categories=[category]):
        entry = entry_of("multikernelbench", task.name)
        if repaired and entry.source(repaired=True) == entry.source():
            continue
        answer = judge.evaluate(task, itself(task))
        wanted = "accept"
        if task.name in UNTESTABLE and not repaired:
            wanted = "untestable"
        if answer.status != wanted:
            wrong[task.name] = (answer.status, [str(r.message)[:200] for r in answer.reasons])
    assert not wrong


@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_the_tasks_of_robust_kbench(direction, judge):
    wrong = {}
    for task in load_suite("robust-kbench"):
        if task.name.endswith("backward") != (direction == "backward"):
            continue
        answer = judge.evaluate(task, itself(task))
        if answer.status != "accept":
            wrong[task.name] = (answer.status, [str(r.message)[:200] for r in answer.reasons])
    assert not wrong
