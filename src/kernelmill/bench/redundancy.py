"""Steps of a reference that do nothing: leave each out and see whether the answer changes."""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from kernelmill.bench.draws import INPUTS, needed, outputs_of
from kernelmill.tasks import Program

TOLERANCE = 1e-4
MOST_STEPS = 40  # beyond, a task is a network, and its steps are too many to leave out one by one
DRAWS = 2
# Not steps of a computation: views, copies, questions.
_PLAIN = {
    "clone", "contiguous", "to", "detach", "view", "reshape", "expand", "permute", "transpose",
    "__get__", "__set__", "size", "dim", "numel", "is_contiguous", "float", "double", "half",
    "flatten", "squeeze", "unsqueeze", "narrow", "__getitem__", "requires_grad_", "data_ptr",
}  # fmt: skip


class _Without(TorchFunctionMode):
    """Runs PyTorch's functions as they come; number ``left_out`` gives its first tensor back."""

    def __init__(self, left_out: int | None = None):
        super().__init__()
        self.left_out = left_out
        self.names: list[str] = []
        self.dropped = False

    def __torch_function__(
        self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        name = getattr(func, "__name__", "")
        first = next((a for a in args if isinstance(a, torch.Tensor)), None)
        if name in _PLAIN or not isinstance(result, torch.Tensor) or first is None:
            return result
        self.names.append(name)
        if len(self.names) - 1 != self.left_out:
            return result
        if result.shape != first.shape or result.dtype != first.dtype or result is first:
            return result
        self.dropped = True
        return first


def redundant_steps(program: Program, tolerance: float = TOLERANCE) -> tuple[str, ...]:
    """The steps that can be left out, in the order of the computation: those with an output of
    their first input's shape, without which the answer stays within an absolute and relative
    tolerance for two draws of inputs and weights.

    Empty where the reference has more than 40 steps.

    Example:
        >>> from kernelmill.tasks import Task
        >>> text = '''
        ... import torch
        ... class Model(torch.nn.Module):
        ...     def forward(self, a, b):
        ...         return torch.triu(torch.triu(a) @ torch.triu(b))
        ... def get_inputs():
        ...     return [torch.rand(5, 5), torch.rand(5, 5)]
        ... '''
        >>> redundant_steps(Program(Task("triu", text)))
        ('step 4, triu',)
    """
    draws = []
    for seed in range(DRAWS):
        model = program.make_model(seed=seed)
        make = functools.partial(program.make_inputs, seed=INPUTS + seed)
        with torch.no_grad(), _Without() as mode:
            wanted = _seeded(program, model, make())
        draws.append((model, make, wanted))
    names = mode.names
    if len(names) > MOST_STEPS:
        return ()
    found = []
    for step, name in enumerate(names):
        if all(_same(program, draw, step, tolerance) for draw in draws):
            found.append(f"step {step + 1}, {name}")
    return tuple(found)


def _seeded(program: Program, model: Any, inputs: list) -> list[torch.Tensor]:
    torch.manual_seed(0)  # of dropout and the like
    return outputs_of(program, model, inputs)


def _same(program: Program, draw: tuple, step: int, tolerance: float) -> bool:
    model, make, wanted = draw
    mode = _Without(step)
    try:
        with torch.no_grad(), mode:
            found = _seeded(program, model, make())
    except (RuntimeError, ValueError, TypeError, IndexError):
        return False  # what follows needs this step
    if not mode.dropped or len(found) != len(wanted):
        return False
    return all(needed(a, b) <= tolerance for a, b in zip(found, wanted, strict=True))
