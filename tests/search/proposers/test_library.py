from __future__ import annotations

import random

import pytest
import torch

from kernelmill.search.proposers import discover, library
from kernelmill.search.proposers._match import export, find
from kernelmill.search.proposers.library import LibraryProposer, patterns
from kernelmill.search.types import Context
from kernelmill.tasks import Program, Task
from kernelmill.tasks.library import library_tasks

NET = """
import torch
import torch.nn as nn
import torch.nn.functional as F

B, C = 2, 8

class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, C, 3)
        self.p = nn.Parameter(torch.tensor([3.0]))
        self.fc = nn.Linear(C, 4)

    def forward(self, x):
        y = self.conv(x)
        {body}
        return self.fc(z), y.mean()

def get_inputs():
    return [torch.randn(B, 3, 9, 8)]
"""
BODIES = {
    "mean": "z = y.clamp(min=1e-5).pow(self.p).mean(dim=(2, 3)).pow(1.0 / self.p)",
    "mean, other order": "z = (torch.clamp(y, 1e-5) ** self.p).mean((-1, -2)) ** (1 / self.p)",
    "average pool": "z = F.avg_pool2d(y.clamp(min=1e-5).pow(self.p), (y.size(-2), y.size(-1)))"
    ".pow(1.0 / self.p).flatten(1)",
    "adaptive pool, number": "z = F.adaptive_avg_pool2d(y.clamp_min(1e-5).pow(2.5), 1)"
    ".pow(1 / 2.5).flatten(1)",
}
# Alike, and not the same.
OTHERS = {
    "another root": "z = y.clamp(min=1e-5).pow(self.p).mean(dim=(2, 3)).pow(2.0 / self.p)",
    "another number": "z = y.clamp(min=1e-5).pow(2.5).mean(dim=(2, 3)).pow(1 / 2.0)",
    "one dimension": "z = y.clamp(min=1e-5).pow(self.p).mean(dim=(1, 3)).pow(1.0 / self.p)"
    ".mean(1, keepdim=True).expand(-1, C)",
    "upper limit": "z = y.clamp(1e-5, 2.0).pow(self.p).mean(dim=(2, 3)).pow(1.0 / self.p)",
    "window": "z = F.avg_pool2d(y.clamp(min=1e-5).pow(self.p), (7, 3)).pow(1.0 / self.p)"
    ".amax((2, 3))",
    "needed elsewhere": "a = y.clamp(min=1e-5).pow(self.p); "
    "z = a.mean(dim=(2, 3)).pow(1.0 / self.p) + a.amax((2, 3))",
}


def propose(task, **facts):
    return list(LibraryProposer().propose(task, [], Context(random.Random(0), facts=facts)))


def check(task, candidate):
    program = Program(task)
    model, inputs = program.make_model(0), program.make_inputs(1)
    names: dict = {}
    exec(candidate.source, names)
    new = names["ModelNew"](*program.init_inputs())
    new.load_state_dict(model.state_dict())
    with torch.no_grad():
        torch.testing.assert_close(new(*inputs), model(*inputs), rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("name", BODIES)
def test_gem_is_recognised_as_people_write_it(name):
    task = Task("net", NET.format(body=BODIES[name]))
    (candidate,) = propose(task)
    assert candidate.provenance["operators"] == ["gem"] and candidate.backend == "torch"
    check(task, candidate)


@pytest.mark.parametrize("name", OTHERS)
def test_what_computes_something_else_is_left_alone(name):
    task = Task("net", NET.format(body=OTHERS[name]))
    Program(task).make_model()(*Program(task).make_inputs())  # it is a valid task
    assert propose(task) == []


def test_two_places_in_one_network():
    body = f"{BODIES['mean']}; a = z; {BODIES['adaptive pool, number']}; z = z + a"
    task = Task("net", NET.format(body=body))
    (candidate,) = propose(task)
    assert candidate.provenance["operators"] == ["gem", "gem"]
    check(task, candidate)


def test_a_candidate_serves_other_sizes():
    task = Task("net", NET.format(body=BODIES["mean"]))
    (candidate,) = propose(task)
    names: dict = {}
    exec(candidate.source, names)
    y, _ = names["ModelNew"]()(torch.randn(5, 3, 11, 6))
    assert y.shape == (5, 4)


@pytest.mark.parametrize("name", ["gem.tokens", "gem.ragged", "gem.shift", "gem.maps"])
def test_tasks_of_the_library_get_their_operator(name):
    task = library_tasks()[name]
    candidate, *_ = propose(task)
    assert "import gem as gem_reference" in candidate.source
    check(task, candidate)


def test_nothing_to_replace_and_nothing_to_export():
    source = "import torch\nclass Model(torch.nn.Module):\n    def forward(self, x):\n        {}\n"
    source += "def get_inputs():\n    return [torch.ones(3)]\n"
    assert propose(Task("relu", source.format("return x.relu()"))) == []
    assert propose(Task("value", source.format("return x * 2 if x.sum() > 0 else x"))) == []
    task = Task("net", NET.format(body=BODIES["mean"]))
    assert propose(task, backends=["cpp"]) == []


def test_patterns_compute_what_the_operator_computes():
    for operator, function, example, finish in patterns():
        torch.manual_seed(0)
        values = {k: torch.rand(v) + 0.5 if isinstance(v, tuple) else v for k, v in example.items()}
        got = operator.function(**values)
        got = finish(got) if finish else got
        torch.testing.assert_close(got, function(**values), rtol=2e-5, atol=2e-5)


def test_numbers_are_bound_and_products_may_be_swapped():
    class Scaled(torch.nn.Module):
        def forward(self, x):
            return (2.5 * (x + 1.0)).sin()

    def pattern(a, scale):
        return ((a + 1.0) * scale).sin()

    graph = export(Scaled(), [torch.ones(3)]).graph
    (match,) = find(graph, pattern, {"a": (4,), "scale": 1.0})
    assert match.values["scale"] == 2.5 and match.values["a"].op == "placeholder"


def test_proposers_are_discovered(monkeypatch):
    found = discover()
    assert {"compile", "library"} <= set(found)
    assert all(cls.name == name for name, cls in found.items())
    monkeypatch.setattr(library, "patterns", lambda: [])
    assert propose(Task("net", NET.format(body=BODIES["mean"]))) == []
