"""Running a task over seeds: what passes for its answer without being computed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kernelmill.bench.draws import INPUTS, PIECE, needed, outputs_of
from kernelmill.bench.filters import upstream_flags
from kernelmill.bench.redundancy import redundant_steps
from kernelmill.tasks import Program, Task, TaskError

if TYPE_CHECKING:
    import torch

TOLERANCES = (1e-4, 1e-2)
RELATIVE = 1e-4  # a change below that, over the output's largest magnitude, is none
SEEDS = 5
MAX_BYTES = 512 << 20
SMALLEST = 4  # below, a batch is no batch


@dataclass(frozen=True)
class FilterReport:
    """What the filters found.

    Attributes:
        degenerate: ``zeros``, ``constant``, ``input-independent``, ``weight-independent``: by the
            output's own scale, so that a small output is no zero and a large one that hardly
            moves is a constant.
        weak: ``zeros@1e-4``, ``identity@1e-2``, ``input-independent@1e-4``, ``random``...: the
            strictest absolute and relative tolerance at which it passes, as benchmarks compare.
        upstream: ``range``, ``std``, ``axes``, ``input`` (see `upstream_flags`).
        relative: the largest relative change of the output by other inputs and by other weights;
            ``None`` for weights where there are none.
        needed: the smallest and the largest tolerance that zeros, the first input and the
            answers to other inputs need, over the draws. A flag asks for the largest.
        redundant: steps of the reference that can be left out (see `redundant_steps`).
        overhead: bytes that the reference's operators read and write, one by one, over those of
            a kernel that reads inputs and weights and writes outputs once; ``None`` where that
            is not known. Large: the baseline is easy to beat.
        overrides: constants that were made smaller to fit the memory.
        seeds: how many draws.
    """

    task: str
    degenerate: tuple[str, ...]
    weak: tuple[str, ...]
    upstream: tuple[str, ...]
    relative: dict[str, float | None]
    needed: dict[str, tuple[float, float]]
    redundant: tuple[str, ...]
    overhead: float | None
    overrides: dict[str, int]
    seeds: int


def fit(
    task: Task, max_bytes: int = MAX_BYTES, aim: int | None = None, seeds: int = SEEDS
) -> Program:
    """The task's program, its first constant (the batch) halved until it needs no more than
    ``aim`` bytes (``max_bytes`` if not given), or is at its smallest.

    What it needs: inputs and weights twice, the largest intermediate result, and two sets of
    ``seeds`` outputs that `review` holds twice, as lists and stacked.

    Raises:
        TaskError: even so it needs more than ``max_bytes``.
    """
    program = Program(task)
    name = next(iter(program.constants), None)
    value = program.constants.get(name) if name else None
    has_batch = name is not None and type(value) is int and name.startswith("batch")
    while True:
        cost = program.estimate()
        need = (
            0
            if cost is None
            else cost.peak + cost.inputs + cost.parameters + 4 * seeds * cost.outputs
        )
        if need <= (max_bytes if aim is None else aim):
            return program
        if not has_batch or value <= SMALLEST:
            if need <= max_bytes:
                return program
            why = f"a batch of {value}" if has_batch else "no batch to make smaller"
            raise TaskError(
                f"{task.name}: needs {need >> 20} MiB with {why}, "
                f"max_bytes is {max_bytes >> 20} MiB"
            )
        value = max(value // 2, SMALLEST)
        program = program.with_overrides({name: value})


def review(
    task: Task, *, seeds: int = SEEDS, max_bytes: int = MAX_BYTES, aim: int | None = None
) -> FilterReport:
    """Draw a task's inputs and weights ``seeds`` times and compare what comes out.

    Runs the reference here: for tasks that are trusted. An output counts as independent of the
    inputs where that holds for two models: one draw of the weights may cut all values off.

    Args:
        seeds: draws. max_bytes, aim: see `fit`.

    Raises:
        TaskError: the task does not run, or does not fit into ``max_bytes``.
        ValueError: fewer than two seeds.

    Example:
        >>> text = '''
        ... import torch
        ... class Model(torch.nn.Module):
        ...     def forward(self, x):
        ...         return torch.relu(x)
        ... def get_inputs():
        ...     return [torch.rand(4, 50)]
        ... '''
        >>> review(Task("relu", text)).weak
        ('identity@1e-4',)
    """
    import torch

    if seeds < 2:
        raise ValueError(f"seeds must be at least 2, got {seeds}")
    program = fit(task, max_bytes, aim, seeds)
    changed = {k: v for k, v in program.overrides.items() if task.overrides.get(k) != v}
    with torch.no_grad():
        model = program.make_model(seed=0)
        inputs = program.make_inputs(seed=INPUTS)
        kept = [x.clone() if isinstance(x, torch.Tensor) else x for x in inputs]
        one = outputs_of(program, model, inputs)
        del inputs
        again = outputs_of(program, program.make_model(seed=0), program.make_inputs(seed=INPUTS))
        same_model = [one]
        for seed in range(1, seeds):
            same_model.append(outputs_of(program, model, program.make_inputs(seed=INPUTS + seed)))
        drawn = [one]
        for seed in range(1, seeds):
            other = program.make_model(seed=seed)
            drawn.append(outputs_of(program, other, program.make_inputs(seed=2 * INPUTS + seed)))
        weights, of_another = None, []
        if any(p.numel() for p in model.state_dict().values()):
            other = program.make_model(seed=1)
            for seed in (0, 1):
                fresh = program.make_inputs(seed=INPUTS + seed)
                of_another.append(outputs_of(program, other, fresh))
            weights = _change(one, of_another[0])
    tolerances = _needed(kept, same_model, drawn[1:], of_another)
    weak = tuple(
        f"{name}@{min(t for t in TOLERANCES if most <= t):.0e}".replace("e-0", "e-")
        for name, (_, most) in tolerances.items()
        if most <= max(TOLERANCES)
    )
    if any(not torch.equal(a, b) for a, b in zip(one, again, strict=True)):
        weak += ("random",)
    upstream: tuple[str, ...] = ()
    if one and one[0].is_floating_point():
        upstream = upstream_flags(
            torch.stack([out[0] for out in drawn]), torch.stack([out[0] for out in same_model])
        )
    inputs_matter = max(_change(one, other) for other in same_model[1:])
    relative = {"inputs": inputs_matter, "weights": weights}
    return FilterReport(
        task.name, _degenerate([*same_model, *drawn[1:]], relative), weak, upstream, relative,
        tolerances,        redundant_steps(program), _overhead(program), changed, seeds,
    )  # fmt: skip


def _degenerate(
    draws: Sequence[list[torch.Tensor]], relative: dict[str, float | None]
) -> tuple[str, ...]:
    """What an output's own scale says of it."""
    import torch

    ends = [torch.nan_to_num(t).aminmax() for out in draws for t in out if t.numel()]
    if not ends:
        return ()
    low = min(float(end.min) for end in ends)
    high = max(float(end.max) for end in ends)
    found = {
        "zeros": low == high == 0,
        "constant": high - low <= RELATIVE * max(abs(low), abs(high)),
        "input-independent": (relative["inputs"] or 0.0) <= RELATIVE,
        "weight-independent": relative["weights"] is not None and relative["weights"] <= RELATIVE,
    }
    return tuple(name for name, holds in found.items() if holds)


def _overhead(program: Program) -> float | None:
    cost = program.estimate()
    return None if cost is None or not cost.bytes else max(1.0, cost.traffic / cost.bytes)


def _needed(
    inputs: list, outputs: Sequence[list[torch.Tensor]], more: Sequence[list[torch.Tensor]],
    of_another: Sequence[list[torch.Tensor]],
) -> dict[str, tuple[float, float]]:  # fmt: skip
    """By guess: the smallest and the largest tolerance that it needs, over the draws."""
    import torch

    first = [x for x in inputs if isinstance(x, torch.Tensor)][:1]
    drawn = [*outputs, *more, *of_another]
    pairs = {
        "zeros": [([torch.zeros_like(t) for t in out], out) for out in drawn],
        "identity": [(first, outputs[0])],
        "input-independent": [(other, outputs[0]) for other in outputs[1:]]
        + [(other, of_another[0]) for other in of_another[1:]],
    }
    found = {}
    for name, guesses in pairs.items():
        tolerances = [
            max(map(needed, guess, wanted), default=math.inf)
            if len(guess) == len(wanted) else math.inf
            for guess, wanted in guesses
        ]  # fmt: skip
        found[name] = (min(tolerances), max(tolerances))
    return found


def _change(one: list[torch.Tensor], other: list[torch.Tensor]) -> float:
    """Largest difference, relative to the largest finite magnitude."""
    import torch

    most = 0.0
    for whole, changed in zip(one, other, strict=True):
        scale = far = 0.0
        for a, b in zip(whole.flatten().split(PIECE), changed.flatten().split(PIECE), strict=True):
            if not a.numel():
                continue
            a, b = torch.nan_to_num(a.double()), torch.nan_to_num(b.double())
            scale = max(scale, a.abs().max().item(), b.abs().max().item())
            far = max(far, (a - b).abs().max().item())
        if scale:
            most = max(most, far / scale)
    return most
