"""Comparison of a generated module with the float64 reference, by the project's tolerance."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from typing import Any

import torch

from kernelmill.search.codegen.generate import generate
from kernelmill.search.codegen.schedule import Schedule

FLOOR, FACTOR = 2e-5, 16


def build(source: str, schedule: Schedule | None = None):
    """(reference model, generated model, example inputs, generated text)."""
    reference: dict[str, Any] = {"__name__": "reference"}
    exec(source, reference)
    torch.manual_seed(0)
    model, inputs = reference["Model"](), reference["get_inputs"]()
    text = generate(model, inputs, source, schedule or Schedule())
    candidate: dict[str, Any] = {"__name__": "candidate"}
    exec(compile(text, "<candidate>", "exec"), candidate)
    new = candidate["ModelNew"]()
    new.load_state_dict(model.state_dict())
    return model, new, inputs, text


def variants(inputs: list[Any]) -> Iterator[tuple[str, list[Any]]]:
    def each(change):
        return [change(t) if is_float(t) else t for t in inputs]

    def planted(value):
        def change(t):
            t = t.clone()
            t.view(-1)[:: max(t.numel() // 7, 1)] = value
            return t

        return change

    yield "plain", inputs
    yield "large", each(lambda t: t * 32)
    yield "small", each(lambda t: t * 1e-3)
    yield "offset", each(lambda t: t + 300)
    yield "negated", each(lambda t: -t)
    yield "constant", each(lambda t: torch.full_like(t, 0.7))
    yield "infinite", each(planted(math.inf))
    yield "nan", each(planted(math.nan))
    yield "not contiguous", each(lambda t: t.mT.contiguous().mT)


def is_float(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.is_floating_point()


def tensors(structure: Any) -> list[torch.Tensor]:
    leaves = torch.utils._pytree.tree_flatten(structure)[0]
    return [t for t in leaves if isinstance(t, torch.Tensor)]


def assert_agrees(model, new, inputs: list[Any], label: str) -> None:
    wide = copy.deepcopy(model).double()
    narrow = copy.deepcopy(model)
    before = [t.clone() if isinstance(t, torch.Tensor) else t for t in inputs]
    with torch.no_grad():
        found = tensors(new(*inputs))
        same = tensors(narrow(*before))
        exact = tensors(wide(*(t.double() if is_float(t) else t for t in before)))
    for given, kept in zip(inputs, before, strict=True):
        if isinstance(given, torch.Tensor):
            assert torch.equal(given.nan_to_num(), kept.nan_to_num()), f"{label}: input changed"
    assert len(found) == len(same)
    for number, (a, b, c) in enumerate(zip(found, same, exact, strict=True)):
        assert a.shape == b.shape and a.dtype == b.dtype, f"{label}, output {number}"
        if not a.is_floating_point():
            assert torch.equal(a, b), f"{label}, output {number}"
            continue
        a, b, c = a.double(), b.double(), c.double()
        special = ~torch.isfinite(b)
        assert torch.equal(_marks(a[special]), _marks(b[special])), f"{label}, output {number}"
        usual = torch.isfinite(b) & torch.isfinite(c)
        if not usual.any():
            continue
        a, b, c = a[usual], b[usual], c[usual]
        scale = float(c.abs().max())
        bound = max(FLOOR, FACTOR * float((b - c).abs().max()) / max(scale, 1e-30)) * scale
        error = float((a - c).abs().max())
        assert error <= bound + 1e-12, f"{label}, output {number}: {error} > {bound}"
    state, wanted = new.state_dict(), narrow.state_dict()
    for name, value in wanted.items():
        torch.testing.assert_close(state[name], value, rtol=1e-4, atol=1e-5, equal_nan=True)


def _marks(t: torch.Tensor) -> torch.Tensor:
    """Finite 0, infinities +1 and -1, NaN 2."""
    return torch.where(t.isnan(), 2.0, torch.where(t.isinf(), t.sign(), 0.0))
