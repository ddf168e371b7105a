"""The template proposer: drafts, mutations, what it leaves alone."""

from __future__ import annotations

import random

import pytest

from kernelmill.evaluate.evaluation import Evaluation, Timing
from kernelmill.search.codegen.schedule import CHOICES, Schedule
from kernelmill.search.proposers.template import TemplateProposer, candidate_of
from kernelmill.search.types import Context, Node
from kernelmill.tasks import Task

SOFTMAX = """
import torch

rows, columns = 40, 64


class Model(torch.nn.Module):
    def forward(self, x):
        return torch.softmax(x * 2, dim=-1)


def get_inputs():
    return [torch.randn(rows, columns)]
"""
SORT = SOFTMAX.replace("torch.softmax(x * 2, dim=-1)", "torch.sort(x)[0]")
BROKEN = SOFTMAX.replace("torch.softmax(x * 2, dim=-1)", "x @ x")
BRANCH = SOFTMAX.replace(
    "return torch", "if x.sum() > 0:\n            x = x + 1\n        return torch"
)


def context(**fields) -> Context:
    return Context(rng=random.Random(0), **fields)


def propose(task: Task, parents=(), **fields) -> list:
    return list(TemplateProposer().propose(task, list(parents), context(**fields)))


def test_drafts_start_with_the_default_schedule_and_do_not_repeat():
    found = propose(Task("softmax", SOFTMAX))
    assert found and found[0].backend == "cpp"
    assert Schedule.from_dict(found[0].provenance["schedule"]) == Schedule()
    assert len({c.hash for c in found}) == len(found)


def test_children_change_the_schedule_of_an_accepted_parent():
    parent = candidate_of(Task("softmax", SOFTMAX))
    timing = Timing(2.0, 1.0, 2.0, (1.9, 2.1), 9)
    node = Node(1, parent, Evaluation("accept", "verdict", timing=timing))
    children = propose(Task("softmax", SOFTMAX), [node])
    assert children
    for child in children:
        assert child.hash != parent.hash
        assert child.provenance["schedule"] != parent.provenance["schedule"]


def test_the_same_seed_gives_the_same_children():
    node = Node(
        1,
        candidate_of(Task("softmax", SOFTMAX)),
        Evaluation("accept", "verdict", timing=Timing(2.0, 1.0, 2.0, (1.9, 2.1), 9)),
    )
    first, second = (propose(Task("softmax", SOFTMAX), [node]) for _ in range(2))
    assert [c.hash for c in first] == [c.hash for c in second]


def test_rejected_and_foreign_parents_have_no_children():
    parent = candidate_of(Task("softmax", SOFTMAX))
    assert propose(Task("softmax", SOFTMAX), [Node(1, parent, Evaluation("reject", "build"))]) == []


@pytest.mark.parametrize("source", [SORT, BROKEN, BRANCH], ids=["sort", "broken", "branch"])
def test_a_graph_beyond_the_generator_is_left_alone(source):
    assert propose(Task("beyond", source)) == []


def test_overrides_decide_the_shapes():
    candidate = candidate_of(Task("softmax", SOFTMAX, overrides={"rows": 7}))
    assert "(7, 64)" in candidate.source


def test_the_candidate_is_the_reference_with_another_forward():
    text = candidate_of(Task("softmax", SOFTMAX)).source
    assert "class Model(" in text and "class ModelNew(Model)" in text
    assert "def get_inputs" not in text


def test_no_compiler_no_proposal():
    assert propose(Task("softmax", SOFTMAX), facts={"backends": ["torch"]}) == []


def test_a_mutation_stays_within_the_choices():
    rng = random.Random(1)
    schedule = Schedule()
    for _ in range(50):
        mutated = schedule.mutate(rng)
        changed = [k for k in CHOICES if getattr(mutated, k) != getattr(schedule, k)]
        assert len(changed) == 1
        assert getattr(mutated, changed[0]) in CHOICES[changed[0]]
        schedule = mutated


def test_a_schedule_survives_its_record():
    schedule = Schedule().mutate(random.Random(2), 4)
    assert Schedule.from_dict({**schedule.to_dict(), "from_the_future": 1}) == schedule
