"""Running a task over seeds: what passes for its answer without being computed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kernelmill.bench.filters import upstream_flags
from kernelmill.tasks import Program, Task, TaskError

if TYPE_CHECKING:
    import torch

TOLERANCES = (1e-4, 1e-2)
SEEDS = 5
MAX_BYTES = 512 << 20
SMALLEST = 4  # below, a batch is no batch


@dataclass(frozen=True)
class FilterReport:
    """What the filters found.

    Attributes:
        weak: ``zeros@1e-4``, ``identity@1e-2``, ``input-independent@1e-4``, ``random``...: the
            strictest tolerance at which it passes.
        upstream: ``range``, ``std``, ``axes``, ``input`` (see `upstream_flags`).
        relative: the largest relative change of the output by other inputs and by other weights;
            ``None`` for weights where there are none.
        overrides: constants that were made smaller to fit the memory.
        seeds: how many draws.
    """

    task: str
    weak: tuple[str, ...]
    upstream: tuple[str, ...]
    relative: dict[str, float | None]
    overrides: dict[str, int]
    seeds: int


def fit(task: Task, max_bytes: int = MAX_BYTES) -> Program:
    """The task's program, its first constant (the batch) halved until it fits.

    Raises:
        TaskError: it does not fit with a batch of 4, or has no batch to make smaller.
    """
    program = Program(task)
    name = next(iter(program.constants), None)
    value = program.constants.get(name) if name else None
    while True:
        cost = program.estimate()
        if cost is None or cost.peak <= max_bytes:
            return program
        if name is None or type(value) is not int or not name.startswith("batch"):
            raise TaskError(f"{task.name}: needs {cost.peak >> 20} MiB and has no batch to shrink")
        if value <= SMALLEST:
            raise TaskError(f"{task.name}: needs {cost.peak >> 20} MiB with a batch of {value}")
        value = max(value // 2, SMALLEST)
        program = program.with_overrides({name: value})


def passes(answer: Any, output: Any, tolerance: float) -> bool:
    """Does an answer pass for an output at an absolute and relative tolerance?"""
    import torch

    if not isinstance(answer, torch.Tensor) or answer.shape != output.shape:
        return False
    if not output.is_floating_point() or answer.dtype != output.dtype:
        return answer.dtype == output.dtype and bool(torch.equal(answer, output))
    return torch.allclose(answer, output, atol=tolerance, rtol=tolerance, equal_nan=True)


def review(task: Task, *, seeds: int = SEEDS, max_bytes: int = MAX_BYTES) -> FilterReport:
    """Draw a task's inputs and weights ``seeds`` times and compare what comes out.

    Runs the reference here: for tasks that are trusted.

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
    program = fit(task, max_bytes)
    changed = {k: v for k, v in program.overrides.items() if task.overrides.get(k) != v}
    with torch.no_grad():
        model = program.make_model(seed=0)
        inputs = program.make_inputs(seed=0)
        kept = [x.clone() if isinstance(x, torch.Tensor) else x for x in inputs]
        one = _outputs(program, model, inputs)
        again = _outputs(program, program.make_model(seed=0), program.make_inputs(seed=0))
        same_model = [one]
        for seed in range(1, seeds):
            same_model.append(_outputs(program, model, program.make_inputs(seed=seed)))
        drawn = [one]
        for seed in range(1, seeds):
            other = program.make_model(seed=seed)
            drawn.append(_outputs(program, other, program.make_inputs(seed=100 + seed)))
        weights = None
        if any(p.numel() for p in model.state_dict().values()):
            other = program.make_model(seed=1)
            weights = _change(one, _outputs(program, other, program.make_inputs(seed=0)))
    weak = _weak(kept, same_model)
    if any(not torch.equal(a, b) for a, b in zip(one, again, strict=True)):
        weak += ("random",)
    upstream: tuple[str, ...] = ()
    if one and one[0].is_floating_point():
        upstream = upstream_flags(
            torch.stack([out[0] for out in drawn]), torch.stack([out[0] for out in same_model])
        )
    inputs_matter = max(_change(one, other) for other in same_model[1:])
    return FilterReport(
        task.name, weak, upstream, {"inputs": inputs_matter, "weights": weights}, changed, seeds
    )


def _outputs(program: Program, model: Any, inputs: list) -> list[torch.Tensor]:
    import torch
    from torch.utils._pytree import tree_leaves

    found = tree_leaves(program.run(model, inputs))
    return [x.detach().clone() for x in found if isinstance(x, torch.Tensor)]


def _weak(inputs: list, outputs: Sequence[list[torch.Tensor]]) -> tuple[str, ...]:
    import torch

    one = outputs[0]
    answers = {
        "zeros": [[torch.zeros_like(out) for out in one]],
        "identity": [[x for x in inputs if isinstance(x, torch.Tensor)][:1]],
        "input-independent": list(outputs[1:]),
    }
    found = []
    for name, guesses in answers.items():
        for tolerance in TOLERANCES:
            good = all(
                len(guess) == len(one)
                and all(passes(a, b, tolerance) for a, b in zip(guess, one, strict=True))
                for guess in guesses
            )
            if good and one:
                found.append(f"{name}@{tolerance:.0e}".replace("e-0", "e-"))
                break
    return tuple(found)


def _change(one: list[torch.Tensor], other: list[torch.Tensor]) -> float:
    """Largest difference, relative to the largest finite magnitude."""
    import torch

    most = 0.0
    for a, b in zip(one, other, strict=True):
        a, b = torch.nan_to_num(a.double()), torch.nan_to_num(b.double())
        scale = max(a.abs().max().item(), b.abs().max().item()) if a.numel() else 0.0
        if scale:
            most = max(most, (a - b).abs().max().item() / scale)
    return most
