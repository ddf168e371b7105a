"""Hard inputs made from plain ones, keeping the structure that belongs to the problem.

Index tensors, masks and probabilities are left alone; structural zeros stay zero. A variant
returns ``None`` where it would change nothing. Whether the reference itself bears the variant is
decided by its own float64 run, not here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

Inputs = list[Any]


def is_free(value: Any) -> bool:
    """A float tensor whose values are data: no mask, no signs, no probabilities, no constant."""
    if not isinstance(value, torch.Tensor) or not value.is_floating_point() or value.numel() < 2:
        return False
    data = value.detach().float()
    if not bool(torch.isfinite(data).all()):
        return False
    magnitude = data.abs()
    largest = float(magnitude.max())
    if largest == 0.0 or bool(((magnitude == largest) | (magnitude == 0)).all()):
        return False
    if data.dim() >= 1 and data.shape[-1] > 1 and bool((data >= 0).all()):
        sums = data.sum(-1)
        if bool(((sums - 1).abs() < 1e-3).all()):
            return False
    return True


def has_free(inputs: Inputs) -> bool:
    return any(is_free(x) for x in inputs)


def _each(change: Callable[[torch.Tensor], torch.Tensor]) -> Callable:
    def variant(inputs: Inputs, generator: torch.Generator) -> Inputs | None:
        if not has_free(inputs):
            return None
        return [_keep(x, change(x.detach())) if is_free(x) else x for x in inputs]

    return variant


def _keep(old: torch.Tensor, new: torch.Tensor) -> torch.Tensor:
    """dtype, strides and need for a gradient of ``old``, values of ``new``."""
    result = (
        torch.empty_strided(old.shape, old.stride(), dtype=old.dtype)
        if _dense(old)
        else (torch.empty(old.shape, dtype=old.dtype))
    )
    result.copy_(new)
    return result.requires_grad_(old.requires_grad)


def _dense(tensor: torch.Tensor) -> bool:
    sizes = sorted((st, n) for st, n in zip(tensor.stride(), tensor.shape, strict=True) if n > 1)
    expected = 1
    for stride, size in sizes:
        if stride != expected:
            return False
        expected *= size
    return True


def _nonzero(change: Callable[[torch.Tensor], torch.Tensor]) -> Callable:
    return _each(lambda x: torch.where(x != 0, change(x), x))


def _centred(x: torch.Tensor) -> torch.Tensor:
    used = x[x != 0]
    return (x - used.mean()) * 2


def _large(x: torch.Tensor) -> torch.Tensor:
    """Values around 200 at least, where exp overflows in float32 unless a maximum is subtracted."""
    most = x.abs().max().item() if x.numel() else 0.0
    return x * max(32.0, 200.0 / most if most > 0 else 0.0)


def _at(*places: slice | int | tuple) -> Callable[[torch.Tensor], torch.Tensor]:
    """Change only one region: what is there is negated and moved."""

    def change(x: torch.Tensor) -> torch.Tensor:
        x = x.clone()
        for place in places:
            part = x[place]
            x[place] = torch.where(part != 0, 0.75 - part, part)
        return x

    return change


def _tail(x: torch.Tensor) -> torch.Tensor:
    x = x.clone()
    flat = x.reshape(-1)
    count = max(1, flat.numel() // 10)
    flat[-count:] = -flat[-count:]
    return flat.reshape(x.shape)


def _middle_rows(x: torch.Tensor) -> torch.Tensor:
    if x.dim() == 0:
        return -x
    third = x.shape[0] // 3
    return _at(slice(third, max(third + 1, 2 * third)))(x)


def _late_columns(x: torch.Tensor) -> torch.Tensor:
    if x.dim() == 0:
        return -x
    return _at((..., slice(-max(1, x.shape[-1] // 10), None)))(x)


def _middle_column(x: torch.Tensor) -> torch.Tensor:
    return _at((..., x.shape[-1] // 2))(x) if x.dim() else -x


def _one_element(x: torch.Tensor) -> torch.Tensor:
    flat = x.clone().reshape(-1)
    spot = (2 * flat.numel()) // 3
    flat[spot] = flat[spot] * -3 + 1
    return flat.reshape(x.shape)


def _constant(inputs: Inputs, generator: torch.Generator) -> Inputs | None:
    if not has_free(inputs):
        return None
    return [
        _keep(x, torch.where(x.detach() != 0, 0.5 + 0.25 * i, 0.0)) if is_free(x) else x
        for i, x in enumerate(inputs)
    ]


def _sparse(inputs: Inputs, generator: torch.Generator) -> Inputs | None:
    if not has_free(inputs):
        return None
    return [
        _keep(x, x.detach() * (torch.rand(x.shape, generator=generator) < 0.1)) if is_free(x) else x
        for x in inputs
    ]


def _filled(inputs: Inputs, generator: torch.Generator) -> Inputs | None:
    """Constant float inputs (initial states, destinations of a scatter) become random ones."""

    def constant(x: Any) -> bool:
        return (
            isinstance(x, torch.Tensor) and x.is_floating_point() and x.numel() > 1
            and bool((x == x.reshape(-1)[0]).all())
        )  # fmt: skip

    if not any(constant(x) for x in inputs):
        return None
    return [
        _keep(x, x.detach() + torch.randn(x.shape, generator=generator)) if constant(x) else x
        for x in inputs
    ]


def _nonfinite(inputs: Inputs, generator: torch.Generator) -> Inputs | None:
    if not has_free(inputs):
        return None
    done = []
    for x in inputs:
        if is_free(x):
            new = x.detach().clone().reshape(-1)
            spots = torch.randperm(new.numel(), generator=generator)[:3]
            for spot, value in zip(spots.tolist(), (float("inf"), -float("inf"), float("nan")),
                                   strict=False):  # fmt: skip
                new[spot] = value
            x = _keep(x, new.reshape(x.shape))
        done.append(x)
    return done


def _numbers(inputs: Inputs, generator: torch.Generator) -> Inputs | None:
    """Python floats among the inputs take other values."""
    if not any(type(x) is float for x in inputs):
        return None
    return [x * 1.25 if type(x) is float else x for x in inputs]


def freshen(inputs: Inputs, free: list[bool], generator: torch.Generator) -> Inputs:
    """The same inputs with every float tensor marked ``free`` scaled by random factors near one,
    per row and per column: content that nobody has seen or can foresee, at the cost of a pass."""

    def factors(count: int) -> torch.Tensor:
        return 1.0 + (torch.rand(count, generator=generator) - 0.5) / 32

    done = []
    for x, is_ in zip(inputs, free, strict=True):
        if is_:
            last = x.shape[-1] if x.dim() else 1
            scale = factors(last).to(x.dtype)
            if x.dim() > 1:
                rows = factors(x.shape[0]).to(x.dtype)
                scale = rows.view(-1, *[1] * (x.dim() - 1)) * scale
            x = (x.detach() * scale.reshape(scale.shape if x.dim() else ())).requires_grad_(
                x.requires_grad
            )
        done.append(x)
    return done


def _strided(inputs: Inputs, generator: torch.Generator) -> Inputs | None:
    """The same values behind other strides (the two last axes swapped in memory)."""
    done, changed = [], False
    for x in inputs:
        if isinstance(x, torch.Tensor) and x.dim() >= 2 and min(x.shape[-2:]) > 1:
            needs = x.requires_grad
            x = x.detach().transpose(-1, -2).contiguous().transpose(-1, -2).requires_grad_(needs)
            changed = True
        done.append(x)
    return done if changed else None


VARIANTS: dict[str, Callable[[Inputs, torch.Generator], Inputs | None]] = {
    "negated": _each(lambda x: -x),
    "centred": _nonzero(_centred),
    "large": _each(_large),
    "times 1e-3": _each(lambda x: x * 1e-3),
    "plus 300": _nonzero(lambda x: x + 300),
    "same": lambda inputs, generator: list(inputs),
    "last tenth": _each(_tail),
    "middle rows": _each(_middle_rows),
    "last columns": _each(_late_columns),
    "middle column": _each(_middle_column),
    "one element": _each(_one_element),
    "numbers": _numbers,
    "constant": _constant,
    "sparse": _sparse,
    "filled": _filled,
    "strided": _strided,
    "denormal": _each(lambda x: x * 1e-40),
    "nonfinite": _nonfinite,
}
# made of one base case, judged one after the other on the same storage: what changes is little
SMALL_CHANGES = (
    "same", "last tenth", "middle rows", "last columns", "middle column", "one element",
)  # fmt: skip
# ties there make integer outputs (indices) arbitrary
TIES = ("constant", "sparse", "denormal")
# where a difference is reported and not refused (policy "standard")
ADVISORY = ("denormal", "nonfinite")


def is_variance(name: str, value: Any) -> bool:
    """Is this entry of a state_dict a stored variance?"""
    if not isinstance(value, torch.Tensor) or not value.is_floating_point():
        return False
    return "var" in name.rsplit(".", 1)[-1] and bool((value >= 0).all())


def randomise_state(
    state: dict[str, Any], generator: torch.Generator, variance: float = 1.0
) -> dict[str, Any]:
    """Other values for every float parameter and buffer: ones, zeros and tiny scales move,
    positive statistics stay positive, random weights keep their scale. ``variance`` scales stored
    variances: small ones show an epsilon."""
    done = {}
    for name, value in state.items():
        if not isinstance(value, torch.Tensor) or not value.is_floating_point():
            done[name] = value
            continue
        data = value.detach().float()
        noise = torch.randn(data.shape, generator=generator)
        spread = float(data.std()) if data.numel() > 1 else 0.0
        if not spread > 1e-12:
            spread = 0.0
        if is_variance(name, data):
            new = (data + 0.1) * torch.exp(0.3 * noise) * variance
        elif spread == 0.0:
            fan_in = data[0].numel() if data.dim() >= 2 else 1
            new = data + 0.3 * noise / max(1.0, fan_in**0.5 / 2)
        else:
            new = data + 0.5 * spread * noise
        done[name] = new.to(value.dtype)
    return done
