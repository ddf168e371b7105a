"""What a task costs: bytes and FLOPs, known before anything is allocated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch.utils._pytree import tree_map

from kernelmill.tasks.errors import TaskError
from kernelmill.tasks.source import label_of
from kernelmill.tasks.tracing import Spec, Trace, trace

if TYPE_CHECKING:
    from kernelmill.tasks.program import Program


@dataclass(frozen=True)
class Estimate:
    """Cost of one forward call.

    Attributes:
        inputs, outputs, parameters: bytes (``parameters`` holds buffers too).
        flops: of matrix products, convolutions and attention (two per multiply-add), as
            ``torch.utils.flop_counter`` counts them.
        traffic: bytes that all operators of the reference read and write, one by one.
        peak: a lower bound of the bytes held at once: inputs, weights, outputs, and the largest
            result of any operator.
        input_specs, output_specs, parameter_specs, buffer_specs: shapes and dtypes.
        structure: ``tensor``, ``tuple``, ``list``, ``dict`` or ``nested`` output.
        operators: how often each operator is dispatched.
    """

    inputs: int
    outputs: int
    parameters: int
    flops: int
    traffic: int
    peak: int
    input_specs: tuple[Spec, ...]
    output_specs: tuple[Spec, ...]
    parameter_specs: tuple[Spec, ...]
    buffer_specs: tuple[Spec, ...]
    structure: str
    operators: dict[str, int]

    @property
    def bytes(self) -> int:
        """Inputs, outputs and weights, each once: what the fastest kernel has to move."""
        return self.inputs + self.outputs + self.parameters


def structure_of(output: Any) -> str:
    """One word for the shape of an output.

    Example:
        >>> structure_of(1.0), structure_of((1, 2)), structure_of([(1,), 2])
        ('tensor', 'tuple', 'nested')
    """
    if not isinstance(output, tuple | list | dict):
        return "tensor"
    parts = output.values() if isinstance(output, dict) else output
    if any(isinstance(part, tuple | list | dict) for part in parts):
        return "nested"
    kinds = {tuple: "tuple", list: "list", dict: "dict"}
    return kinds.get(type(output), "nested")


def estimate_from(found: Trace) -> Estimate:
    inputs = sum(spec.bytes for spec in found.inputs)
    outputs = sum(spec.bytes for spec in found.outputs)
    weights = sum(spec.bytes for spec in (*found.parameters, *found.buffers))
    counts: dict[str, int] = {}
    for name in found.operators:
        counts[name] = counts.get(name, 0) + 1
    return Estimate(
        inputs=inputs,
        outputs=outputs,
        parameters=weights,
        flops=found.flops,
        traffic=found.traffic,
        peak=max(inputs + outputs + weights, inputs + weights + 4 * found.largest),
        input_specs=found.inputs,
        output_specs=found.outputs,
        parameter_specs=found.parameters,
        buffer_specs=found.buffers,
        structure=structure_of(tree_map(lambda leaf: 0, found.output)),
        operators=counts,
    )


def estimate(program: Program, group: int = 0) -> Estimate | None:
    """Cost of the reference on an input group, by a run on fake tensors.

    Returns:
        ``None`` where the reference cannot run on fake tensors, because its code reads values or
        leaves PyTorch.

    Example:
        >>> from kernelmill.tasks import Program, Task
        >>> text = '''
        ... import torch
        ... class Model(torch.nn.Module):
        ...     def forward(self, a, b):
        ...         return a @ b
        ... def get_inputs():
        ...     return [torch.rand(1 << 15, 1 << 16), torch.rand(1 << 16, 8)]
        ... '''
        >>> cost = Program(Task("mm", text)).estimate()
        >>> cost.flops == 2 * 2**15 * 2**16 * 8, cost.inputs // 2**20
        (True, 8194)
    """
    found = trace(program, group)
    return None if found is None else estimate_from(found)


def _gib(count: int) -> str:
    if count < 2**20:
        return f"{count / 2**10:.1f} KiB"
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 else f"{count / 2**20:.1f} MiB"


def _peak(program: Program) -> int | None:
    peaks = [program.estimate(group) for group in range(program.groups)]
    return None if None in peaks else max(cost.peak for cost in peaks if cost)


def check_memory(program: Program, limit_bytes: int) -> None:
    """Refuse a task that needs more than ``limit_bytes``, and say which constant to make smaller.

    A reference that cannot be traced with fake tensors passes: nothing is known of it.

    Raises:
        TaskError: too large.
    """
    peak = _peak(program)
    if peak is None or peak <= limit_bytes:
        return
    raise TaskError(
        f"{label_of(program.task)}: needs at least {_gib(peak)} for inputs, outputs and weights, "
        f"more than the limit of {_gib(limit_bytes)}; {_hint(program, limit_bytes, peak)}"
    )


def _hint(program: Program, limit_bytes: int, peak: int) -> str:
    constants = {k: v for k, v in program.constants.items() if type(v) is int and v > 1}
    effects: dict[str, int] = {}
    for name, value in constants.items():
        reduced = _reduced(program, {name: (value + 1) // 2})
        if reduced is not None and reduced < 0.9 * peak:
            effects[name] = reduced
    if not effects:
        names = ", ".join(f"{k}={v!r}" for k, v in program.constants.items()) or "none"
        return f"no single constant makes it smaller (constants: {names})"
    settings: dict[str, int] = {}

    def order(name: str) -> tuple[bool, int, int]:
        # the batch first: it leaves the character of the problem as it is
        return ("batch" not in name.lower(), effects[name], -constants[name])

    for name in sorted(effects, key=order):
        value = constants[name]
        while value > 1:
            value = (value + 1) // 2
            reduced = _reduced(program, {**settings, name: value})
            if reduced is None:
                break
            settings[name] = value
            if reduced <= limit_bytes:
                flags = " ".join(f"--set {k}={v}" for k, v in settings.items())
                was = ", ".join(f"{k}={constants[k]}" for k in settings)
                return f"try {flags} (now {was})"
    flags = " ".join(f"--set {k}={v}" for k, v in settings.items())
    return f"make its constants smaller, starting from {flags}"


def _reduced(program: Program, overrides: dict[str, int]) -> int | None:
    try:
        return _peak(program.with_overrides(overrides))
    except TaskError:
        return None
