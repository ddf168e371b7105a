"""Hard inputs keep the structure that belongs to the problem."""

from __future__ import annotations

import pytest
import torch

from kernelmill.evaluate import variants


def make(name, *inputs):
    return variants.VARIANTS[name](list(inputs), torch.Generator().manual_seed(0))


DATA = torch.randn(12, 10, generator=torch.Generator().manual_seed(1))
LEFT_ALONE = {
    "mask": (DATA > 0).float(),
    "signs": torch.sign(DATA),
    "probabilities": torch.softmax(DATA, -1),
    "indices": torch.arange(10),
    "bools": DATA > 0,
    "constant": torch.ones(4, 5),
}


@pytest.mark.parametrize("kind", LEFT_ALONE)
@pytest.mark.parametrize("name", ["negated", "large", "plus 300", "one element", "sparse"])
def test_masks_indices_and_probabilities_are_left_alone(kind, name):
    data, structured = make(name, DATA, LEFT_ALONE[kind])
    assert not torch.equal(data, DATA)
    assert torch.equal(structured, LEFT_ALONE[kind])
    assert make(name, LEFT_ALONE[kind]) is None


@pytest.mark.parametrize("name", [n for n in variants.VARIANTS if n not in ("strided", "same")])
def test_structural_zeros_stay_zero(name):
    triangular = torch.tril(torch.randn(9, 9))
    changed = make(name, triangular)
    if changed is None or name in ("nonfinite", "one element"):
        return
    assert bool((changed[0][triangular == 0] == 0).all())


@pytest.mark.parametrize("name", variants.SMALL_CHANGES[1:])
def test_small_changes_are_small(name):
    (changed,) = make(name, DATA)
    share = float((changed != DATA).float().mean())
    assert 0 < share <= 0.4


def test_inputs_are_never_changed_in_place():
    before = DATA.clone()
    for name in variants.VARIANTS:
        make(name, DATA)
    assert torch.equal(DATA, before)


def test_strides_and_need_for_gradients_are_kept():
    data = torch.randn(6, 4).t().requires_grad_(True)
    (changed,) = make("large", data)
    assert changed.stride() == data.stride() and changed.requires_grad
    (swapped,) = make("strided", DATA)
    assert torch.equal(swapped, DATA) and not swapped.is_contiguous()


def test_constants_are_filled():
    filled, data = make("filled", torch.zeros(3, 4), DATA)
    assert float(filled.std()) > 0.1 and torch.equal(data, DATA)


def test_state_moves_and_variances_stay_positive():
    state = {
        "weight": torch.ones(64), "scale": torch.full((64,), 1e-6), "bias": torch.zeros(64),
        "running_var": torch.ones(64), "proj": torch.zeros(32, 32), "count": torch.tensor(3),
        "w": torch.randn(64, 64) * 0.02,
    }  # fmt: skip
    moved = variants.randomise_state(state, torch.Generator().manual_seed(0))
    for name in ("weight", "scale", "bias", "proj"):
        assert float((moved[name] - state[name]).abs().mean()) > 0.02, name
    assert bool((moved["running_var"] > 0).all())
    assert moved["count"] == 3
    assert 0.01 < float(moved["w"].std()) < 0.04


def test_fresh_inputs_differ_every_time():
    free = [variants.is_free(DATA)]
    noise = torch.Generator().manual_seed(0)
    seen = {variants.freshen([DATA], free, noise)[0].sum().item() for _ in range(50)}
    assert len(seen) == 50


def test_random_weights_are_not_the_numbers_of_the_inputs():
    from kernelmill.evaluate.oracle import Oracle
    from kernelmill.evaluate.session import task_message
    from kernelmill.tasks import Task

    text = """
import torch
class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(500))
    def forward(self, x):
        return x * self.weight
def get_inputs():
    return [torch.randn(500)]
"""
    oracle = Oracle({"threads": 1, "memory_bytes": 1 << 28})
    oracle.open(task_message(Task("mine", text)), seed=5)
    case = oracle.case(
        name="plain",
        group=0,
        overrides={},
        variant=None,
        state="random",
        seed=7,
        call_seed=1,
        backward=False,
    )
    x, weight = case["inputs"][0], case["state"]["weight"]
    assert float(weight.std()) > 0.1
    assert abs(float(torch.corrcoef(torch.stack([x, weight]))[0, 1])) < 0.2


def test_a_stored_variance_gets_a_case_of_small_ones_with_inputs_of_usual_size():
    from kernelmill.evaluate.oracle import Oracle
    from kernelmill.evaluate.session import task_message
    from kernelmill.tasks import Task

    text = """
import torch
class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.bn = torch.nn.BatchNorm1d(8)
    def forward(self, x):
        return torch.relu(self.bn(x))
def get_inputs():
    return [torch.randn(64, 8)]
def get_init_inputs():
    return []
"""
    oracle = Oracle({"threads": 1, "memory_bytes": 1 << 30})
    oracle.open(task_message(Task("t", text)), 5)
    (plan,) = (c for c in oracle.plan(2, 0)["cases"] if c[0] == "small variances")
    name, group, overrides, variant, state, _ = plan
    case = oracle.case(name, group, overrides, variant, state, 7, 7, False)
    assert float(case["state"]["bn.running_var"].max()) < 1e-3
    assert float(case["inputs"][0].std()) > 0.5
