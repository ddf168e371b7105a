"""Operators: one definition, many kernels.

An operator is a public function with a reference in plain PyTorch and fast implementations. A
family of them is a folder of this package; registration happens when the folder is imported, and
`operators` imports them all::

    from kernelmill.ops.registry import operators

    for name, op in operators().items():
        op.reference        # plain PyTorch; same arguments as op.function
        op.function         # the public function, kernelmill.ops.<name>
        op.examples         # callables: example(seed=0, dtype=torch.float32, device="cpu")
                            # -> dict of keyword arguments of op.function and op.reference

``example.name`` is an identifier (unique within the operator), ``example.bench`` marks sizes made
for timing (the others are small, for tests), ``op.paper`` and ``op.doc`` say where it comes from.

How a family registers itself::

    OP = register(Operator(
        name="gem", function=gem, reference=gem_reference, examples=(...),
        args="Tensor x, Tensor p, Tensor? mask, float eps",   # the kernels' view: canonical layout
        differentiable=("x", "p"),
        outputs=1,                     # the first results are public, the rest is for backward
        keeps_results=True,            # False: backward does not read them, they are not saved
        plain=...,                     # the reference on the kernels' arguments
        fake=...,                      # results without values (shapes, dtypes, strides)
        kernels={"cpu": Kernels(forward, backward, fits), "triton": ...},
    ))

That defines ``torch.ops.kernelmill.gem`` and ``gem_backward`` with their fake and autograd rules.
The public function checks its arguments, brings them into the kernels' layout and calls ``OP``,
which takes the fast kernels where they fit and ``plain`` everywhere else.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

import torch
from torch import Tensor

from kernelmill.ops.native import native

log = logging.getLogger(__name__)

_LIBRARY = torch.library.Library("kernelmill", "FRAGMENT")
_OPERATORS: dict[str, Operator] = {}
_forced: str | None = None


@dataclass(frozen=True)
class Example:
    """Arguments for an operator: ``example(seed, dtype, device) -> {name: value}``.

    Args:
        name: identifier, unique within the operator.
        make: ``make(randn, dtype, device) -> dict``, where ``randn(*shape)`` draws from a seeded
            generator.
        bench: a size for timing, not for unit tests.
    """

    name: str
    make: Callable[..., dict[str, Any]]
    bench: bool = False

    def __call__(
        self, seed: int = 0, dtype: torch.dtype = torch.float32, device: str = "cpu"
    ) -> dict[str, Any]:
        generator = torch.Generator().manual_seed(seed)

        def randn(*shape: int) -> Tensor:
            return torch.randn(*shape, generator=generator).to(device=device, dtype=dtype)

        return self.make(randn, dtype, device)


@dataclass(frozen=True)
class Kernels:
    """Fast kernels of one backend.

    Args:
        forward: ``forward(*args) -> tuple of results``.
        backward: ``backward(needs, grads, args, results) -> tuple``, one entry per
            differentiable argument (``None`` where ``needs`` is false); ``grads`` of the public
            results only.
        fits: ``fits(*args) -> str | None``: why the kernels cannot take these arguments.
            Must look at devices, dtypes and ranks only (it runs while compiling, too).
    """

    forward: Callable[..., tuple[Tensor, ...]]
    backward: Callable[..., tuple[Tensor | None, ...]]
    fits: Callable[..., str | None]


@dataclass(frozen=True)
class Operator:
    """The definition of an operator; see the module's docstring."""

    name: str
    function: Callable[..., Any]
    reference: Callable[..., Any]
    examples: Sequence[Example]
    args: str
    differentiable: tuple[str, ...]
    plain: Callable[..., Any]
    fake: Callable[..., tuple[Tensor, ...]]
    kernels: Mapping[str, Kernels]
    outputs: int = 1
    results: int = 1
    keeps_results: bool = True
    paper: str = ""
    tolerance: Mapping[torch.dtype, float] = field(default_factory=dict)

    @property
    def doc(self) -> str:
        """The first line of the public function's docstring."""
        return (self.function.__doc__ or "").strip().splitlines()[0]

    @property
    def arg_names(self) -> tuple[str, ...]:
        return tuple(part.split()[-1] for part in self.args.split(","))

    def choose(self, *args: Any, backend: str | None = None) -> tuple[str, str]:
        """Which backend takes these arguments, and why: ``(name, reason)``.

        ``backend``: the one that is asked for; else what `use_backend` says, else by device.
        """
        device = args[0].device.type
        asked = _forced if backend is None else backend
        if asked is not None:
            wanted = asked
            if wanted == "reference":
                return wanted, "forced"
            if not {"cpu": _HAS_NATIVE, "triton": _HAS_TRITON}.get(wanted, True):
                return "reference", f"{wanted} kernels are not installed here"
        elif device == "cpu" and _HAS_NATIVE:
            wanted = "cpu"
        elif device == "cuda" and _HAS_TRITON:
            wanted = "triton"
        else:
            return "reference", f"no compiled kernels for device {device!r} here"
        if wanted not in self.kernels:
            return "reference", f"{self.name} has no {wanted} kernels"
        refusal = self.kernels[wanted].fits(*args)
        if refusal is not None:
            return "reference", refusal
        return wanted, "fits"

    def __call__(self, *args: Any, backend: str | None = None) -> Any:
        """Run on the kernels' arguments; the public results.

        Raises:
            NotImplementedError: ``backend`` is given and cannot take them.
        """
        asked = backend
        backend, reason = self.choose(*args, backend=asked)
        if asked is not None and backend != asked:
            raise NotImplementedError(f"backend: {asked!r} cannot take these: {reason}")
        if backend == "reference":
            return self.plain(*args)
        results = getattr(torch.ops.kernelmill, self.name).default(*args, backend)
        if self.results == 1:  # a schema with one result returns no tuple
            return results
        return results[0] if self.outputs == 1 else results[: self.outputs]


def register(op: Operator) -> Operator:
    """Define ``torch.ops.kernelmill.<name>`` (and ``<name>_backward``) from the definition."""
    if op.name in _OPERATORS:
        raise ValueError(f"operator {op.name!r} is already registered")
    returned = ", ".join(["Tensor"] * op.results)
    grads = ", ".join(f"Tensor grad{i}" for i in range(op.outputs))
    results = "".join(f"Tensor result{i}, " for i in range(_kept(op)))
    tags = (torch.Tag.pt2_compliant_tag,)
    _LIBRARY.define(f"{op.name}({op.args}, str backend) -> ({returned})", tags=tags)
    _LIBRARY.define(
        f"{op.name}_backward({grads}, {op.args}, {results}bool[] needs, str backend) -> Tensor[]",
        tags=tags,
    )
    _LIBRARY.impl(op.name, lambda *a: _returned(_forward(op, a)), "CompositeExplicitAutograd")
    _LIBRARY.impl(f"{op.name}_backward", lambda *a: _backward(op, a), "CompositeExplicitAutograd")
    torch.library.register_fake(f"kernelmill::{op.name}", lambda *a: _returned(op.fake(*a[:-1])))
    torch.library.register_fake(f"kernelmill::{op.name}_backward", lambda *a: _fake_backward(op, a))
    torch.library.register_autograd(
        f"kernelmill::{op.name}",
        _autograd_backward(op),
        setup_context=_setup_context(op),
    )
    _OPERATORS[op.name] = op
    return op


def _returned(results: tuple[Tensor, ...]) -> Tensor | tuple[Tensor, ...]:
    return results[0] if len(results) == 1 else results


def _kept(op: Operator) -> int:
    """How many results the backward gets."""
    return op.results if op.keeps_results else 0


def _split(op: Operator, flat: tuple) -> tuple[tuple, tuple, tuple, list[bool], str]:
    """Arguments of the backward operator: grads, args, results, needs, backend."""
    n = len(op.arg_names)
    grads, flat = flat[: op.outputs], flat[op.outputs :]
    return grads, flat[:n], flat[n : n + _kept(op)], flat[-2], flat[-1]


def _forward(op: Operator, flat: tuple) -> tuple[Tensor, ...]:
    *args, backend = flat
    if backend == "cpu" and native() is None:  # a graph exported on a machine with kernels
        public = op.plain(*args)
        public = (public,) if op.outputs == 1 else tuple(public)
        return public + tuple(op.fake(*args)[op.outputs :])
    return op.kernels[backend].forward(*args)


def _backward(op: Operator, flat: tuple) -> list[Tensor]:
    grads, args, results, needs, backend = _split(op, flat)
    if backend == "cpu" and native() is None:
        key = torch._C.DispatchKey.AutogradFunctionality
        with torch._C._SetExcludeDispatchKeyGuard(key, False):
            found = reference_vjp(op, needs, grads, args)
    else:
        found = op.kernels[backend].backward(needs, grads, args, results)
    return [args[0].new_empty(0) if g is None else g for g in found]


def _fake_backward(op: Operator, flat: tuple) -> list[Tensor]:
    _, args, _, needs, _ = _split(op, flat)
    wanted = [args[op.arg_names.index(name)] for name in op.differentiable]
    return [
        torch.empty_like(arg) if need else args[0].new_empty(0)
        for arg, need in zip(wanted, needs, strict=True)
    ]


def reference_vjp(
    op: Operator, needs: Sequence[bool], grads: Sequence[Tensor], args: Sequence[Any]
) -> list[Tensor | None]:
    """Gradients by autograd through the plain reference (differentiable again)."""
    again = torch.is_grad_enabled()
    with torch.enable_grad():
        args = list(args)
        wanted = []
        for name, need in zip(op.differentiable, needs, strict=True):
            i = op.arg_names.index(name)
            if need:
                if not (again and args[i].requires_grad):
                    args[i] = args[i].detach().requires_grad_()
                else:  # a leaf of its own, or a gradient through another argument would leak in
                    args[i] = args[i].view_as(args[i])
                wanted.append(args[i])
        out = op.plain(*args)
        out = (out,) if op.outputs == 1 else tuple(out)
        found = torch.autograd.grad(
            out, wanted, grads, create_graph=again, allow_unused=True, materialize_grads=True
        )
    left = iter(found)
    return [next(left) if need else None for need in needs]


def _setup_context(op: Operator) -> Callable[..., None]:
    def setup_context(ctx, inputs, output):
        args = inputs[:-1]
        ctx.set_materialize_grads(not op.keeps_results)
        ctx.is_tensor = [isinstance(arg, Tensor) for arg in args]
        ctx.others = [None if isinstance(arg, Tensor) else arg for arg in args]
        ctx.backend = inputs[-1]
        results = (output,) if isinstance(output, Tensor) else tuple(output)
        kept = results[: _kept(op)]
        ctx.save_for_backward(*[a for a in args if isinstance(a, Tensor)], *kept)

    return setup_context


def _autograd_backward(op: Operator) -> Callable[..., tuple]:
    names = op.arg_names
    positions = [names.index(name) for name in op.differentiable]

    def backward(ctx, *grads):
        saved = ctx.saved_tensors
        count = sum(ctx.is_tensor)
        left = iter(saved[:count])
        args = [
            next(left) if is_tensor else other
            for is_tensor, other in zip(ctx.is_tensor, ctx.others, strict=True)
        ]
        results = saved[count:]
        grads = list(grads[: op.outputs])
        if op.keeps_results:
            grads = [
                torch.zeros_like(result) if grad is None else grad
                for grad, result in zip(grads, results, strict=False)
            ]
        needs = [bool(ctx.needs_input_grad[i]) for i in positions]
        if torch.is_grad_enabled():  # create_graph=True: the kernels' gradient has no gradient
            found = reference_vjp(op, needs, grads, args)
        else:
            kernel = getattr(torch.ops.kernelmill, f"{op.name}_backward").default
            found = kernel(*grads, *args, *results, needs, ctx.backend)
        out = [None] * (len(names) + 1)
        for i, need, grad in zip(positions, needs, found, strict=True):
            out[i] = grad if need else None
        return tuple(out)

    return backward


_HAS_TRITON = importlib.util.find_spec("triton") is not None
# A plain global: torch.compile reads it while tracing, where opening a library is impossible.
_HAS_NATIVE = native() is not None


@contextmanager
def use_backend(name: str | None):
    """Run operators with one backend: ``"reference"``, ``"cpu"``, ``"triton"`` (``None``: choose).

    For tests and measurements: it holds for the whole process. ``"triton"`` takes CPU tensors
    where ``TRITON_INTERPRET=1`` was set before Triton was imported.

    Raises:
        ValueError: the name is unknown or the backend cannot run here.

    Example:
        >>> import torch
        >>> from kernelmill.ops import gem
        >>> from kernelmill.ops.registry import use_backend
        >>> with use_backend("reference"):
        ...     gem(torch.ones(1, 4, 2), 3.0)
        tensor([[1., 1.]])
    """
    global _forced
    if name not in (None, "reference", "cpu", "triton"):
        raise ValueError(f"backend: got {name!r}, wanted 'reference', 'cpu', 'triton' or None")
    if name == "cpu" and native() is None:
        raise ValueError("backend: got 'cpu', but there are no compiled kernels here")
    if name == "triton" and not _HAS_TRITON:
        raise ValueError("backend: got 'triton', but Triton is not installed")
    before, _forced = _forced, name
    try:
        yield
    finally:
        _forced = before


def forced() -> str | None:
    """The backend that `use_backend` asks for."""
    return _forced


def interpreting() -> bool:
    """Whether Triton kernels run in its interpreter (on CPU tensors)."""
    return os.environ.get("TRITON_INTERPRET") == "1"


def families() -> tuple[str, ...]:
    """Names of the operator families: the folders beside this file."""
    package = import_module("kernelmill.ops")
    return tuple(sorted(m.name for m in pkgutil.iter_modules(package.__path__) if m.ispkg))


def operators() -> dict[str, Operator]:
    """Every operator by name. Imports all families."""
    for family in families():
        import_module(f"kernelmill.ops.{family}")
    return dict(sorted(_OPERATORS.items()))
