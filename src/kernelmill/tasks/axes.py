"""Free axes of a task: which constants set the shapes, and other values that they can take."""

from __future__ import annotations

import math
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
    """A size that other values can replace.

    Attributes:
        name: a module-level integer constant, an element of a tuple constant (``shape[0]``), or
            several of them that only change together (``rows=shape[0]``).
        value: the present value.
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

    def overrides(self, value: int, constants: dict[str, Any]) -> dict[str, Any]:
        """What to hand to `Program` for another value, given the constants so far."""
        changed: dict[str, Any] = {}
        for part in self.name.split("="):
            name, _, index = part.partition("[")
            if not index:
                changed[name] = value
                continue
            whole = list(changed.get(name, constants[name]))
            whole[int(index.rstrip("]"))] = value
            changed[name] = type(constants[name])(whole)
        return changed


def _overrides(program: Program, axes: dict[str, Axis], sizes: dict[str, int]) -> dict[str, Any]:
    constants = dict(program.constants)
    changed: dict[str, Any] = {}
    for name, value in sizes.items():
        if value != axes[name].value:
            found = axes[name].overrides(value, constants)
            constants.update(found)
            changed.update(found)
    return changed


def _candidates(constants: dict[str, Any]) -> dict[str, int]:
    """Positive integers among the constants and the elements of tuples."""
    found: dict[str, int] = {}
    for name, value in constants.items():
        if name.startswith("_"):
            continue
        if isinstance(value, tuple | list):
            found |= {f"{name}[{i}]": v for i, v in enumerate(value) if type(v) is int and v > 0}
        elif type(value) is int and value > 0:
            found[name] = value
    return found


def _same_kind(a: tuple, b: tuple) -> bool:
    """Same number of tensors, ranks and dtypes: only sizes may differ."""
    return len(a) == len(b) and all(
        x.dtype == y.dtype and len(x.shape) == len(y.shape) for x, y in zip(a, b, strict=True)
    )


def _try(program: Program, base: Trace, overrides: dict[str, Any]) -> Trace | None:
    try:
        changed = program.with_overrides(overrides)
    except TaskError:
        return None
    for group in range(1, program.groups):
        if probe(changed, group) is None:
            return None
    found = probe(changed)
    return found if found is not None and _same_kind(base.inputs, found.inputs) else None


class _Search:
    """Tries constants one by one, with a bound on how often the model is traced."""

    def __init__(self, program: Program, base: Trace):
        self.program = program
        self.base = base
        self.trials = max(8, OPERATORS_PER_SEARCH // max(1, len(base.operators)))

    def reaches_inputs(self, axis: Axis) -> bool:
        """Do the shapes of the inputs follow? True where that cannot be told."""
        specs = input_specs(self.program)
        if specs is None:
            return True
        changed = axis.overrides(axis.value + 1, self.program.constants)
        try:
            return input_specs(self.program.with_overrides(changed)) != specs
        except TaskError:
            return True

    def widen(self, axis: Axis) -> Axis | None:
        """The axis with its smallest step that leaves the model running, if there is one."""
        for step in STEPS:
            if axis.value % step:
                continue
            if self.trials <= 0:
                return None
            self.trials -= 1
            changed = axis.overrides(axis.value + step, self.program.constants)
            found = _try(self.program, self.base, changed)
            if found is not None:
                base = self.base
                weights = (found.parameters, found.buffers)
                return Axis(
                    axis.name,
                    axis.value,
                    step,
                    inputs=found.inputs != base.inputs,
                    parameters=weights != (base.parameters, base.buffers),
                    outputs=found.outputs != base.outputs,
                )
        return None


def find_axes(program: Program) -> dict[str, Axis]:
    """The free axes of an executed task.

    Declared axes (``task.axes``) are taken; otherwise every integer constant (and element of a
    tuple constant) is changed in turn, the text executed anew, and the model run on fake tensors:
    an axis is free where the shapes of the inputs follow and the model still runs. Constructor
    arguments and parameters may follow too (``Axis.parameters``). Constants of one value that fail
    alone are tried together. References that cannot be traced are run for real if they are small.

    Raises:
        TaskError: a declared axis is no integer constant of the text.
    """
    values = _candidates(program.constants)
    declared = program.task.axes
    if declared is not None:
        return _declared_axes(program, values, declared)
    base = probe(program) if values else None
    if base is None:
        return {}
    search = _Search(program, base)
    axes: dict[str, Axis] = {}
    stuck: dict[int, list[str]] = {}  # by value: they reach the inputs, but not alone
    others: dict[int, list[str]] = {}  # by value: they do not reach the inputs
    for name, value in values.items():
        axis = Axis(name, value)
        if not search.reaches_inputs(axis):
            others.setdefault(value, []).append(name)
            continue
        found = search.widen(axis)
        if found is None:
            stuck.setdefault(value, []).append(name)
        elif found.inputs:
            axes[name] = found
    for value, names in stuck.items():
        for combination in _combinations(names, others.get(value, [])):
            joined = "=".join(name for name in values if name in combination)
            found = search.widen(Axis(joined, value))
            if found is not None and found.inputs:
                axes[joined] = found
                break
    return axes


def _combinations(names: list[str], others: list[str]) -> list[set[str]]:
    """Which constants of one value to change together, the fewest first."""
    together = [{*names}] if len(names) > 1 else []
    together += [{*names, other} for other in others]
    return together + ([{*names, *others}] if len(others) > 1 else [])


def _declared_axes(
    program: Program, values: dict[str, int], declared: tuple[str, ...]
) -> dict[str, Axis]:
    for name in declared:
        parts = name.split("=")
        if any(part not in values or values[part] != values[parts[0]] for part in parts):
            known = ", ".join(values) or "none"
            raise TaskError(
                f"{label_of(program.task)}: axis {name!r} is no positive integer constant of the "
                f"file; it has: {known}"
            )
    axes = {name: Axis(name, values[name.split("=")[0]]) for name in declared}
    base = probe(program) if axes else None
    if base is None:
        return axes
    search = _Search(program, base)
    return {name: search.widen(axis) or axis for name, axis in axes.items()}


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


def _runs(program: Program, overrides: dict[str, Any]) -> bool:
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
    an error and without NaN). Larger problems are shrunk until inputs, outputs and the largest
    intermediate together have at most ``max_elements`` elements; weights may have as many, or as
    many as they have now.

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
    max_weights = max(max_elements, base.weights)
    trials = max(24, 4 * OPERATORS_PER_SEARCH // max(1, len(base.operators)))
    variants: list[dict[str, Any]] = []
    seen = [now]
    for plan in plans:
        if len(variants) == count:
            break
        sizes: dict[str, int] | None = plan
        found = None
        while sizes is not None and sizes not in seen and trials > 0:
            trials -= 1
            found = _try(program, base, _overrides(program, axes, sizes))
            if found is None:
                break
            excess = max(found.elements / max_elements, found.weights / max_weights)
            if excess <= 1:
                break
            for _ in range(max(1, round(math.log2(excess)))):
                sizes = _shrink(sizes, axes) if sizes else None
            found = None
        if found is None or sizes is None or sizes in seen:
            continue
        seen.append(sizes)
        changed = _overrides(program, axes, sizes)
        if found.flops <= 2e9 and not _runs(program, changed):
            continue
        variants.append({**program.overrides, **changed})
    return variants
