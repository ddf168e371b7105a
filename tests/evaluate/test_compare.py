"""The comparison: tolerances by hand, non-finite values, structure, effects."""

from __future__ import annotations

import math

import pytest
import torch

from kernelmill.evaluate import compare
from kernelmill.tasks import Tolerance

INF, NAN = float("inf"), float("nan")


def case(expected, dtype="float32", relative=0.0, other=None, **fields):
    finite = bool(torch.isfinite(expected).all())
    kind = "close" if expected.is_floating_point() else "exact"
    entry = {
        "kind": kind, "error": 0.0, "relative": relative, "floor": 2e-5, "dtype": dtype,
        "finite": finite, "same_finite": True,
    }  # fmt: skip
    return {
        "structure": "tensor", "names": ["output"], "entries": [entry],
        "expected": [expected], "other": [other], "inputs_after": {}, "state_after": {},
        "aliases": [],
    } | fields  # fmt: skip


def code(case, output, **kwargs):
    reason = compare.compare_outputs(case, output, None, Tolerance(), None, **kwargs)
    return reason.code if reason else None


def test_the_bound_is_the_documented_one():
    # floor 2e-5 of the largest magnitude (8) plus 1e-4 of the element
    expected = torch.tensor([8.0, 1.0], dtype=torch.float64)
    allowed = 2e-5 * 8 + 1e-4 * 1.0
    inside = torch.tensor([8.0, 1.0 + 0.98 * allowed])
    outside = torch.tensor([8.0, 1.0 + 1.02 * allowed])
    assert code(case(expected), inside) is None
    assert code(case(expected), outside) == "wrong_values"


def test_the_reference_error_widens_the_bound():
    expected = torch.tensor([8.0, 1.0], dtype=torch.float64)
    outside = torch.tensor([8.0, 1.0 + 16 * 1e-5 * 8 * 0.9])
    assert code(case(expected), outside) == "wrong_values"
    assert code(case(expected, relative=1e-5), outside) is None


def test_small_outputs_are_not_excused():
    expected = torch.full((100,), 1e-6, dtype=torch.float64)
    assert code(case(expected), torch.zeros(100)) == "wrong_values"


@pytest.mark.parametrize(
    ("wanted", "given", "answer"),
    [
        ([1.0, NAN], [1.0, NAN], None),
        ([1.0, INF], [1.0, INF], None),
        ([1.0, INF], [1.0, -INF], "nonfinite"),
        ([1.0, INF], [1.0, 3e38], "nonfinite"),
        ([1.0, 2.0], [1.0, NAN], "nonfinite"),
        ([1.0, 2.0], [NAN, NAN], "nonfinite"),
        ([1.0, NAN], [1.0, 7.0], "nonfinite"),
        ([INF, 2.0], [INF, 3.0], "wrong_values"),
    ],
)
def test_nonfinite_values_match_in_place_and_sign(wanted, given, answer):
    expected = torch.tensor(wanted, dtype=torch.float64)
    assert code(case(expected), torch.tensor(given)) == answer


def test_structure_shape_and_dtype():
    expected = torch.ones(3, 1, dtype=torch.float64)
    assert code(case(expected), torch.ones(3)) == "wrong_shape"
    assert code(case(expected), torch.ones(1)) == "wrong_shape"
    assert code(case(expected), torch.ones(3, 1).half()) == "wrong_dtype"
    assert code(case(expected), (torch.ones(3, 1),)) == "wrong_structure"
    assert code(case(expected), [torch.ones(3, 1)] * 2) == "wrong_structure"
    assert code(case(expected), 1.0) == "wrong_structure"
    assert code(case(expected), torch.ones(3, 1)) is None


def test_integers_are_exact_up_to_the_float64_answer():
    expected, other = torch.tensor([1, 2, 3]), torch.tensor([1, 2, 4])
    assert code(case(expected, "int64"), torch.tensor([1, 2, 3])) is None
    assert code(case(expected, "int64"), torch.tensor([1, 2, 4])) == "wrong_values"
    assert code(case(expected, "int64", other=other), torch.tensor([1, 2, 4])) is None


def test_empty_outputs():
    assert code(case(torch.empty(0, 3, dtype=torch.float64)), torch.empty(0, 3)) is None


def test_the_worst_element_is_named():
    expected = torch.zeros(2, 3, dtype=torch.float64)
    expected[0, 0] = 1.0
    given = expected.float().clone()
    given[1, 2] = 0.5
    reason = compare.compare_outputs(case(expected), given, None, Tolerance(), None)
    assert reason.evidence["index"] == [1, 2] and reason.evidence["wrong_elements"] == 1
    assert math.isclose(float(reason.evidence["candidate"]), 0.5)


def reply(**fields):
    return {"inputs_after": {}, "state_after": {}, "aliases": []} | fields


def test_effects():
    plain = case(torch.ones(2, dtype=torch.float64))
    effects = compare.compare_effects
    assert effects(plain, reply(), {}) == []
    found = effects(plain, reply(inputs_after={"0": torch.ones(2)}), {})
    assert [r.code for r in found] == ["input_modified"]
    found = effects(plain, reply(aliases=[[0, "input", 0]]), {})
    assert [r.code for r in found] == ["alias_mismatch"]
    updating = plain | {"state_after": {"mean": torch.ones(3)}}
    assert [r.code for r in effects(updating, reply(), {})] == ["state_modified"]
    good = reply(state_after={"own_mean": torch.ones(3)})
    assert effects(updating, good, {"own_mean": "mean"}) == []


def test_trivial_answers():
    spread = case(torch.tensor([1.0, -1.0, 2.0], dtype=torch.float64))
    assert compare.trivial_answers(spread, Tolerance()) == set()
    zeros = case(torch.zeros(5, dtype=torch.float64))
    assert compare.trivial_answers(zeros, Tolerance()) == {"zeros", "mean"}
    flat = case(torch.full((5,), 3.0, dtype=torch.float64))
    assert compare.trivial_answers(flat, Tolerance()) == {"mean"}
