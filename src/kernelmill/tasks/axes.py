"""Free axes of a task: which constants set the shapes, and other values that they can take."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kernelmill.tasks.errors import TaskError
from kernelmill.tasks.source import label_of
from kernelmill.tasks.tracing import Trace, input_specs, probe

if TYPE_CHECKING:
    from kernelmill.tasks.program import Program

STEPS = (1, 2, 3, 4, 8, 16, 32, 64)
OPERATORS_PER_SEARCH = 20_000
PRIMES = (3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89)
PRIMES += (97, 127, 149, 191, 251, 307, 383, 509, 641, 769, 1021, 1531, 2039, 4093, 8191)


@dataclass(frozen=True)
class Axis:
    """A module-level integer constant that other values can replace.

    Attributes:
        name, value: the constant and its present value.
        step: the model runs for ``value + step``; 1 where any size goes, more where sizes must
            divide (heads, groups).
        inputs: it changes the shapes of the inputs.
        parameters: it changes the shapes of parameters or buffers.
        outputs: it changes the shapes of the outputs.
    """

    name: str
    value: int
    step: int = 1
    inputs: bool = True
    parameters: bool = False
    outputs: bool = True


def _same_kind(a: tuple, b: tuple) -> bool:
    """Same number of tensors, ranks and dtypes: only sizes may differ."""
    return len(a) == len(b) and all(
        x.dtype == y.dtype and len(x.shape) == len(y.shape) for x, y in zip(a, b, strict=True)
    )


def _try(program: Program, base: Trace, overrides: dict[str, int]) -> Trace | None:
    try:
        changed = program.with_overrides(overrides)
    except TaskError:
        return None
    for group in range(1, program.groups):
        if probe(changed, group) is None:
            return None
    found = probe(changed)
    return found if found is not None and _same_kind(base.inputs, found.inputs) else None


def find_axes(program: Program) -> dict[str, Axis]:
    """The free axes of an executed task.

    Declared axes (``task.axes``) are taken; otherwise every integer constant is changed in turn,
    the text executed anew, and the model run on fake tensors: an axis is free where the shapes of
    the inputs follow and the model still runs. Constructor arguments and parameters may follow
    too (``Axis.parameters``). References that cannot be traced are run for real if they are small.

    Raises:
        TaskError: a declared axis is no integer constant of the text.
    """
    constants = {
        name: value
        for name, value in program.constants.items()
        if type(value) is int and value >= 1 and not name.startswith("_")
    }
    declared = program.task.axes
    for name in declared or ():
        if name not in constants:
            known = ", ".join(constants) or "none"
            raise TaskError(
                f"{label_of(program.task)}: axis {name!r} is no positive integer constant of the "
                f"file; it has: {known}"
            )
    base = probe(program) if constants and declared != () else None
    if base is None:
        return {name: Axis(name, constants[name]) for name in declared or ()}
    trials = max(8, OPERATORS_PER_SEARCH // max(1, len(base.operators)))
    axes: dict[str, Axis] = {}
    for name in constants if declared is None else declared:
        value = constants[name]
        plain = input_specs(program.with_overrides({name: value}))
        for step in STEPS:
            if step > 1 and value % step:
                continue
            if trials <= 0:
                break
            trials -= 1
            if declared is None and plain is not None:
                shapes = _input_shapes(program, {name: value + step})
                if shapes == plain:
                    break  # the inputs do not depend on it: no axis, whatever the step
            found = _try(program, base, {name: value + step})
            if found is not None:
                if declared is not None or found.inputs != base.inputs:
                    axes[name] = Axis(
                        name,
                        value,
                        step,
                        inputs=found.inputs != base.inputs,
                        parameters=(found.parameters, found.buffers)
                        != (base.parameters, base.buffers),
                        outputs=found.outputs != base.outputs,
                    )
                break
        else:
            if declared is not None:
                axes[name] = Axis(name, value)
    for name in declared or ():
        axes.setdefault(name, Axis(name, constants[name]))
    return axes


def _input_shapes(program: Program, overrides: dict[str, int]):
    try:
        return input_specs(program.with_overrides(overrides))
    except TaskError:
        return None


def _values(axis: Axis, rng: random.Random) -> dict[str, int]:
    """One value per way of being another size; all keep to the axis's step."""
    step, units = axis.step, max(1, axis.value // axis.step)
    near = units + rng.choice((-1, 1)) if units > 2 else units + 1
    primes = [p for p in PRIMES if p < units] or [3]
    return {
        "near": step * near,
        "odd": step * (units // 2 + 1 + (units // 2) % 2),
        "prime": step * rng.choice(primes[-8:]),
        "small": step * min(rng.choice((2, 3, 5, 7)), max(2, units)),
        "more": step * (units + rng.choice((1, 2, 3))),
    }


def _shrink(sizes: dict[str, int], axes: dict[str, Axis]) -> dict[str, int] | None:
    """About halve the largest axis, by odd multiples of its step; ``None``: nothing is left."""
    name = max(sizes, key=lambda name: sizes[name] // axes[name].step)
    step = axes[name].step
    units = sizes[name] // step
    if units <= 3:
        return None
    half = units // 2
    return {**sizes, name: step * (half + (half % 2 == 0 and half + 1 < units))}


def _runs(program: Program, overrides: dict[str, int], found: Trace) -> bool:
    """Run a small variant for real: fake tensors know nothing of indices out of range."""
    import torch
    from torch.utils._pytree import tree_leaves

    from kernelmill.tasks.program import quiet_rng

    try:
        changed = program.with_overrides(overrides)
        with quiet_rng(), torch.no_grad():
            for group in range(changed.groups):
                output = changed.run(changed.make_model(0), changed.make_inputs(0, group))
    except Exception:
        return False
    return not any(
        bool(torch.isnan(leaf).any())
        for leaf in tree_leaves(output)
        if isinstance(leaf, torch.Tensor) and (leaf.is_floating_point() or leaf.is_complex())
    )


def find_variants(
    program: Program, rng: random.Random, max_elements: int = 1 << 22, count: int = 4
) -> list[dict[str, Any]]:
    """Overrides that give other shapes than the present ones: one more, one less, odd, prime,
    small, about half; each validated on fake tensors, small ones by a real run as well (without
    an error and without NaN). Larger problems are shrunk until inputs, outputs, weights and
    the largest intermediate together have at most ``max_elements`` elements.

    Returns:
        At most ``count`` dictionaries that `Program` takes as overrides; none where the task has
        no free axis or nothing that fits.
    """
    axes = program.axes_info
    base = probe(program) if axes else None
    if base is None:
        return []
    data = [name for name, axis in axes.items() if not axis.parameters]
    pools = {name: _values(axis, rng) for name, axis in axes.items()}
    now = {name: axis.value for name, axis in axes.items()}
    plans = [
        {**now, **{name: pools[name]["near"] for name in data}},
        {name: pools[name]["odd"] for name in axes},
        {name: pools[name]["prime"] for name in axes},
        {name: pools[name]["small"] for name in axes},
        {name: pools[name]["more"] for name in axes},
        *({**now, name: pools[name]["near"]} for name in axes),
        {**now, **{name: pools[name]["prime"] for name in data}},
        {**now, **{name: pools[name]["small"] for name in data}},
    ]
    variants: list[dict[str, Any]] = []
    seen = [now]
    for plan in plans:
        if len(variants) == count:
            break
        sizes: dict[str, int] | None = plan
        found = None
        for _ in range(64):
            if sizes is None or sizes in seen:
                break
            found = _try(program, base, sizes)
            if found is None or found.elements <= max_elements:
                break
            sizes, found = _shrink(sizes, axes), None
        if found is None or sizes is None or sizes in seen:
            continue
        seen.append(sizes)
        if found.flops <= 2e9 and not _runs(program, sizes, found):
            continue
        changed = {name: value for name, value in sizes.items() if value != now[name]}
        variants.append({**program.overrides, **changed})
    return variants
