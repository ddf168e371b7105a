"""What every registered operator must pass; `test_battery.py` runs it over the registry.

An operator's kernels are compared with its reference in float64, values and gradients, with every
uninitialised buffer filled with NaN.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from kernelmill.ops.native import native, use_isa
from kernelmill.ops.registry import Example, Operator, use_backend

# Largest error relative to the largest magnitude of the tensor (at least FLOOR).
TOLERANCE = {
    torch.float64: 1e-9,
    torch.float32: 2e-5,
    torch.float16: 4e-3,
    torch.bfloat16: 2e-2,
}
FLOOR = 0.1


@contextmanager
def poisoned():
    """Fill what `torch.empty` and its like return with NaN."""
    before = torch.are_deterministic_algorithms_enabled()
    fill = torch.utils.deterministic.fill_uninitialized_memory
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = True
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)
        torch.utils.deterministic.fill_uninitialized_memory = fill


@contextmanager
def threads(count: int):
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def peak_kilobytes(run) -> int:
    """How far the process' memory rises over what it has now while ``run()`` lasts (Linux)."""

    def status(name: str) -> int:
        with open("/proc/self/status") as file:
            return next(int(line.split()[1]) for line in file if line.startswith(name))

    ctypes.CDLL(None).malloc_trim(0)  # what was freed must not serve again
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")  # the peak starts anew
    before = status("VmRSS")
    run()
    return status("VmHWM") - before


def interpreted(module: str) -> None:
    """Run ``python -m module`` with Triton's interpreter, which Triton asks for when imported."""
    run = subprocess.run(
        [sys.executable, "-m", module], cwd=Path(__file__).parents[2],
        env={**os.environ, "TRITON_INTERPRET": "1"}, capture_output=True, text=True,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout + run.stderr


def compiled(kernel, signature: dict[str, str], constants: dict[str, Any], target: int = 90, **how):
    """A Triton kernel, compiled down to PTX for a GPU that need not be there."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    signature = signature | dict.fromkeys(constants, "constexpr")
    source = ASTSource(kernel, signature, constexprs=constants)
    built = triton.compile(source, target=GPUTarget("cuda", target, 32), **how)
    assert ".visible .entry" in built.asm["ptx"]
    return built


def backends(op: Operator) -> list[str]:
    """Backends that run on this machine's CPU: "cpu:<instruction set>" for compiled kernels."""
    found = ["reference"]
    if "cpu" in op.kernels and native() is not None:
        found += [f"cpu:{isa}" for isa in native().isas]
    return found


@contextmanager
def backend(name: str):
    name, _, isa = name.partition(":")
    with use_backend(name), use_isa(isa) if isa else nullcontext():
        yield


def differentiable(args: dict[str, Any]) -> list[str]:
    return [k for k, v in args.items() if isinstance(v, Tensor) and v.is_floating_point()]


def strided(tensor: Tensor) -> Tensor:
    """The same values at every second element of a buffer of NaN."""
    if tensor.dim() == 0 or tensor.numel() == 0:
        return tensor.clone()
    fill = float("nan") if tensor.is_floating_point() else 0
    buffer = torch.full((*tensor.shape, 2), fill, dtype=tensor.dtype, device=tensor.device)
    buffer[..., 0] = tensor
    return buffer[..., 0]


def leaves(args: dict[str, Any], change=lambda t: t) -> dict[str, Any]:
    """Fresh leaf tensors that ask for gradients, each passed through ``change``."""
    return {
        k: change(v.detach().clone(memory_format=torch.preserve_format)).requires_grad_(
            v.is_floating_point()
        )
        if isinstance(v, Tensor)
        else v
        for k, v in args.items()
    }


def outputs(result: Any) -> list[Tensor]:
    return [result] if isinstance(result, Tensor) else list(result)


def cotangents(result: Any) -> list[Tensor]:
    """Multiples of 1/8 in [-1, 1]: exact in every dtype."""
    return [
        ((torch.arange(y.numel(), device=y.device) * 37 + i) % 17 - 8).reshape(y.shape).to(y.dtype)
        / 8
        for i, y in enumerate(outputs(result))
    ]


def values_and_gradients(function, args: dict[str, Any]) -> dict[str, Tensor]:
    found = function(**args)
    names = differentiable(args)
    grads = torch.autograd.grad(
        outputs(found), [args[k] for k in names], cotangents(found), allow_unused=True
    )
    result = {f"output {i}": y.detach() for i, y in enumerate(outputs(found))}
    result |= {f"gradient of {k}": g for k, g in zip(names, grads, strict=True) if g is not None}
    return result


def exact(op: Operator, args: dict[str, Any]) -> dict[str, Tensor]:
    """The reference in float64, with the very same (rounded) inputs."""
    wide = {k: v.double() if k in differentiable(args) else v for k, v in args.items()}
    return values_and_gradients(op.reference, leaves(wide))


def compare(op: Operator, got: dict[str, Tensor], want: dict[str, Tensor], dtype) -> None:
    """Raise AssertionError where ``got`` is not as near to ``want`` as the dtype allows."""
    assert got.keys() == want.keys(), (list(got), list(want))
    for name, w in want.items():
        g = got[name]
        assert g.shape == w.shape, f"{name}: shape {tuple(g.shape)}, wanted {tuple(w.shape)}"
        if not w.numel():
            continue
        # A float32 exponent beside float64 activations has a float32 gradient.
        kinds = {dtype, g.dtype}
        tolerance = max(op.tolerance.get(kind, TOLERANCE[kind]) for kind in kinds)
        error = (g.double() - w).abs().max().item()
        limit = tolerance * max(w.abs().max().item(), FLOOR)
        assert error <= limit, f"{name}: error {error:.3g}, limit {limit:.3g} ({dtype})"


def parity(
    op: Operator, example: Example, name: str, dtype: torch.dtype, device: str = "cpu",
    change=lambda t: t,
) -> None:  # fmt: skip
    """Values and gradients of one backend against the float64 reference."""
    args = example(seed=3, dtype=dtype, device=device)
    want = exact(op, args)
    with backend(name), poisoned():
        got = values_and_gradients(op.function, leaves(args, change))
    compare(op, got, want, dtype)


class Recorder(TorchDispatchMode):
    """Arguments of every call to an operator of ours."""

    def __init__(self):
        super().__init__()
        self.calls: list[tuple[Any, tuple]] = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if function.namespace == "kernelmill":
            self.calls.append((function, args))
        return function(*args, **(kwargs or {}))


def recorded(op: Operator, example: Example) -> list[tuple[Any, tuple]]:
    """(torch operator, arguments) of a forward and backward run."""
    args = leaves(example(seed=5))
    with Recorder() as recorder:
        values_and_gradients(op.function, args)
    ready = []
    for function, call in recorder.calls:
        forward = not function._schema.name.endswith("_backward")
        fresh = tuple(
            a.detach().requires_grad_(forward and a.requires_grad) if isinstance(a, Tensor) else a
            for a in call
        )
        ready.append((function, fresh))
    return ready
