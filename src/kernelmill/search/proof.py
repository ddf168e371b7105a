"""What a winner was proven for, and whether a call is covered by it."""

from __future__ import annotations

import inspect
import re
from collections.abc import Sequence
from typing import Any

import torch

Signature = tuple[Any, ...]

_PLAIN_TENSORS = (torch.Tensor, torch.nn.Parameter)
_TRAINING = re.compile(r"\.training\b")
_MODE_LAYERS = (
    torch.nn.modules.batchnorm._BatchNorm,
    torch.nn.modules.instancenorm._InstanceNorm,
    torch.nn.RReLU,
)


def signature(value: Any) -> Signature:
    """Nested tuples that are equal where a kernel cannot tell two arguments apart by shape,
    dtype, kind of device or, for what is no tensor, value.

    Example:
        >>> signature([torch.zeros(2, 3), 1.5])
        ('list', ('tensor', (2, 3), 'float32', 'cpu'), ('float', '1.5'))
    """
    if isinstance(value, torch.Tensor):
        return ("tensor", tuple(value.shape), str(value.dtype)[6:], value.device.type)
    if isinstance(value, (list, tuple)):
        return ("list", *map(signature, value))
    if isinstance(value, dict):
        return ("dict", *((str(k), signature(v)) for k, v in value.items()))
    return (type(value).__name__, repr(value))


def as_tuples(value: Any) -> Any:
    """A signature as it comes back from JSON."""
    return tuple(map(as_tuples, value)) if isinstance(value, list) else value


def describe(sign: Signature) -> str:
    """A signature for people.

    Example:
        >>> describe(signature([torch.zeros(2, 3), None]))
        '(float32[2, 3] on cpu, None)'
    """
    kind, *rest = sign
    if kind == "tensor":
        shape, dtype, device = rest
        return f"{dtype}[{', '.join(map(str, shape))}] on {device}"
    if kind == "list":
        return "(" + ", ".join(map(describe, rest)) + ")"
    if kind == "dict":
        return "{" + ", ".join(f"{k}: {describe(v)}" for k, v in rest) + "}"
    return str(rest[0])


def tensors(value: Any) -> list[torch.Tensor]:
    """Every tensor in nested lists and dictionaries."""
    if isinstance(value, torch.Tensor):
        return [value]
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        return [t for item in value for t in tensors(item)]
    return []


def depends_on_mode(module: torch.nn.Module, source: str = "") -> bool:
    """May ``module.train()`` and ``module.eval()`` give other results? Read off the layers and,
    for classes of users, their source; ``source`` is that of classes without a file. What cannot
    be read counts as yes.

    Example:
        >>> depends_on_mode(torch.nn.Linear(2, 2)), depends_on_mode(torch.nn.Dropout(0.5))
        (False, True)
    """
    for part in module.modules():
        if isinstance(part, _MODE_LAYERS):
            return True
        dropout = getattr(part, "p" if "Dropout" in type(part).__name__ else "dropout", 0.0)
        if isinstance(dropout, float) and dropout > 0:
            return True
        if type(part).__module__.startswith("torch.nn."):
            continue
        try:
            text = inspect.getsource(type(part))
        except (OSError, TypeError):
            text = source
        if not text or _TRAINING.search(text):
            return True
    return False


class Proof:
    """The certificate's claims as checks.

    Args:
        proven: its part ``proven``: ``inputs`` (one signature per group), ``device``,
            ``training``, ``backward``, ``contiguous_only``, ``threads``.
    """

    def __init__(self, proven: dict[str, Any]):
        self.inputs = {as_tuples(s) for s in proven["inputs"]}
        self.arities = {len(s) - 1 for s in self.inputs}
        self.backward = bool(proven["backward"])
        self.training = proven["training"]
        self.contiguous_only = bool(proven.get("contiguous_only"))

    def refusal(self, args: Sequence[Any]) -> str | None:
        """Why these arguments are not covered; ``None``: they are."""
        sign = signature(list(args))
        if sign not in self.inputs:
            known = " or ".join(sorted(map(describe, self.inputs)))
            return f"inputs {describe(sign)} were not proven, only {known}"
        for tensor in tensors(args):
            if type(tensor) not in _PLAIN_TENSORS:
                return f"an input is a {type(tensor).__name__}, proven were plain tensors"
            if tensor.layout != torch.strided:
                return f"an input has the layout {tensor.layout}, proven was {torch.strided}"
            if tensor.is_conj() or tensor.is_neg():
                return "an input is a lazy conjugate or negative"
            if self.contiguous_only and not tensor.is_contiguous():
                return "an input is not contiguous, and the kernel takes only such"
        return None

    def refusal_of_context(self, device: str) -> str | None:
        """Why the present state of torch is not covered."""
        if torch.is_autocast_enabled(device):
            return "autocast is on, proven was without"
        if torch.jit.is_tracing() or torch._C._functorch.peek_interpreter_stack() is not None:
            return "the call is traced or transformed (torch.jit, torch.func)"
        return None

    def refusal_of_grad(self, args: Sequence[Any], parameters: Sequence[Any]) -> str | None:
        if self.backward or not torch.is_grad_enabled():
            return None
        if any(t.requires_grad for t in tensors(args)):
            return "an input needs a gradient, proven was the forward pass only"
        if any(p.requires_grad for p in parameters):
            return (
                "parameters need gradients, proven was the forward pass only; "
                "call it under torch.no_grad()"
            )
        return None
