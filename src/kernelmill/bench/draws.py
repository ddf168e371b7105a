"""Answers of a reference, drawn and compared."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch.utils._pytree import tree_leaves

from kernelmill.tasks import Program

# Seeds of inputs begin here: from the seed of the weights they would be the same numbers.
INPUTS = 1000
PIECE = 1 << 24  # values compared at once


def needed(answer: Any, output: Any) -> float:
    """The absolute and relative tolerance at which an answer passes for an output as by
    ``torch.allclose``: the largest |answer - output| / (1 + |output|).

    Infinite for another shape or dtype, for NaN against a number, and for unequal integers.
    """
    if not isinstance(answer, torch.Tensor) or answer.shape != output.shape:
        return math.inf
    if answer.dtype != output.dtype:
        return math.inf
    if not output.is_floating_point():
        return 0.0 if torch.equal(answer, output) else math.inf
    most = 0.0
    for a, b in zip(answer.flatten().split(PIECE), output.flatten().split(PIECE), strict=True):
        same = (a == b) | (a.isnan() & b.isnan())
        if bool(same.all()):
            continue
        far = (a.double() - b.double()).abs() / (1 + b.double().abs())
        most = max(most, torch.where(same, 0.0, far.nan_to_num(math.inf)).max().item())
    return most


def outputs_of(program: Program, model: Any, inputs: list) -> list[torch.Tensor]:
    """Every tensor of a model's answer, copied."""
    found = tree_leaves(program.run(model, inputs))
    return [x.detach().clone() for x in found if isinstance(x, torch.Tensor)]
