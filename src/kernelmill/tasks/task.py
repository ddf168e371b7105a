"""A task: what a kernel must compute, in the KernelBench file contract."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Tolerance:
    """How far a candidate may be from the float64 reference, per output tensor::

        |c - r64| <= max(floor, factor * e32) * max|r64| + rtol * |r64|

    where ``e32 = max|r32 - r64| / max|r64|`` is the reference's own error.

    Args:
        floor: relative to the output's largest magnitude; ``None`` takes the dtype's
            (float64 1e-12, float32 2e-5, float16 2**-11, bfloat16 2**-8).
        factor: how many times the reference's own error is admitted.
        rtol: elementwise relative part; ``None`` takes the dtype's.
    """

    floor: float | None = None
    factor: float = 16.0
    rtol: float | None = None


@dataclass(frozen=True)
class Task:
    """A reference in plain PyTorch with a generator of inputs.

    ``source`` is Python text that defines ``class Model(nn.Module)``,
    ``get_inputs() -> list`` (or ``get_input_groups() -> list[list]``) and, optionally,
    ``get_init_inputs() -> list``. Every loader turns its format into such text.

    Args:
        name: short name.
        source: the text.
        path: the file it was read from (``__file__`` of the executed text).
        overrides: values that replace module-level constants (``--set NAME=VALUE``).
        axes: names of module-level integer constants that are free: a candidate must be right
            for other values too (``shape[0]``: an element of a tuple; ``rows=columns``: two that
            only change together). ``None``: found by `Program.axes`.
        tolerance: see `Tolerance`.
        backward: gradients of inputs and parameters are part of the task.
        category: one word (``softmax``, ``matmul``...); ``None``: derived.
        payload: bytes that the source reads as ``__payload__`` (a saved program), if any.
    """

    name: str
    source: str
    path: str | None = None
    overrides: Mapping[str, Any] = field(default_factory=dict)
    axes: tuple[str, ...] | None = None
    tolerance: Tolerance = Tolerance()
    backward: bool = False
    category: str | None = None
    payload: bytes | None = field(default=None, repr=False)

    @cached_property
    def hash(self) -> str:
        """Content hash of everything that decides what must be computed."""
        facts = {
            "source": "\n".join(line.rstrip() for line in self.source.strip().splitlines()),
            "overrides": {k: repr(v) for k, v in sorted(self.overrides.items())},
            "axes": self.axes,
            "tolerance": [self.tolerance.floor, self.tolerance.factor, self.tolerance.rtol],
            "backward": self.backward,
            "payload": hashlib.sha256(self.payload or b"").hexdigest(),
        }
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()

    @classmethod
    def from_file(cls, path: str | Path, **fields: Any) -> Task:
        """Read a problem file or folder of any known format (see `kernelmill.tasks.loaders`)."""
        from kernelmill.tasks.loaders import load_task

        return load_task(path, **fields)

    @classmethod
    def from_module(cls, module: Any, inputs: Any, **fields: Any) -> Task:
        """Make a task of a module and example inputs (see `kernelmill.tasks.export`)."""
        from kernelmill.tasks.export import task_from_module

        return task_from_module(module, inputs, **fields)
