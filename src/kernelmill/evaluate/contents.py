"""Looking at what a candidate returned, holds and raised. Runs inside the candidate's process."""

from __future__ import annotations

import traceback
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from kernelmill.tasks import Task, Tolerance

# Bound before any candidate is loaded.
_tensor_type, _parameter_type = torch.Tensor, torch.nn.Parameter
_data_ptr, _numel, _element_size = (
    torch.Tensor.data_ptr, torch.Tensor.numel, torch.Tensor.element_size,
)  # fmt: skip
_untyped_storage = torch.Tensor.untyped_storage
_state_dict = torch.nn.Module.state_dict
_named_parameters = torch.nn.Module.named_parameters
_type, _isinstance, _len = type, isinstance, len

_VIEW_OPS = {
    "view", "_unsafe_view", "reshape", "permute", "transpose", "t", "expand", "slice", "select",
    "squeeze", "unsqueeze", "detach", "alias", "as_strided", "unbind", "split", "chunk",
    "split_with_sizes", "diagonal", "empty", "empty_like", "empty_strided", "new_empty", "zeros",
    "new_empty_strided", "zeros_like", "new_zeros", "full", "ones", "lift_fresh", "_to_copy",
    "contiguous", "view_as_real", "unfold", "movedim", "resize_", "sym_size", "is_same_size",
}  # fmt: skip


class Refusal(Exception):
    """A fault of the candidate: ``args`` are the code, the message and the evidence."""


def leaves(value: Any) -> list[Any]:
    """The leaves of nested lists, tuples and dictionaries, in order."""
    if _isinstance(value, (list, tuple)):
        return [leaf for item in value for leaf in leaves(item)]
    if _isinstance(value, dict):
        return [leaf for item in value.values() for leaf in leaves(item)]
    return [value]


def structure(value: Any) -> Any:
    """Containers and kinds of leaves, as JSON; every kind of tuple is a tuple."""
    if _isinstance(value, (list, tuple)):
        return ["list" if _isinstance(value, list) else "tuple", [structure(v) for v in value]]
    if _isinstance(value, dict):
        return ["dict", {str(k): structure(v) for k, v in value.items()}]
    return "tensor" if _isinstance(value, _tensor_type) else _type(value).__name__


def task_of(fields: dict[str, Any]) -> Task:
    """The task that `session.task_message` took apart."""
    axes = fields["axes"]
    tolerance = Tolerance(**fields["tolerance"])
    return Task(**{**fields, "tolerance": tolerance, "axes": None if axes is None else tuple(axes)})


def raw_state(module: torch.nn.Module, prefix: str = "") -> dict[str, torch.Tensor]:
    """Parameters and buffers by name, read without running anything of the module's own."""
    found = {}
    fields = vars(module)
    for kind in ("_parameters", "_buffers"):
        for name, value in fields.get(kind, {}).items():
            if value is not None:
                found[prefix + name] = value
    for name, child in fields.get("_modules", {}).items():
        if child is not None:
            found |= raw_state(child, f"{prefix}{name}.")
    return found


def tensors_in(value: Any) -> list[torch.Tensor]:
    return [leaf for leaf in leaves(value) if _isinstance(leaf, _tensor_type)]


def check_types(output: Any) -> None:
    """Every tensor must be a plain one with real storage: no lazy subclass."""
    for leaf in leaves(output):
        if _isinstance(leaf, _tensor_type) and _type(leaf) not in (_tensor_type, _parameter_type):
            raise Refusal(
                "wrong_type",
                f"the output is a {_type(leaf).__module__}.{_type(leaf).__qualname__}, a subclass "
                "of torch.Tensor; return a plain torch.Tensor",
            )
        if _isinstance(leaf, _tensor_type) and leaf.layout is torch.strided:
            if leaf.device.type != "meta" and _numel(leaf) and not _data_ptr(leaf):
                raise Refusal("lazy_tensor", "the output has no storage")


class OpTrace(TorchDispatchMode):
    """Framework operators of one call with the bytes they touch."""

    def __init__(self) -> None:
        super().__init__()
        self.ops: list[tuple[str, int]] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        if name not in _VIEW_OPS and func.namespace == "aten" and _len(self.ops) < 4096:
            touched = tensors_in([args, kwargs or {}, result])
            self.ops.append((name, sum(_numel(t) * _element_size(t) for t in touched)))
        return result


def describe_failure(error: BaseException, prefix: str) -> str:
    """The exception and the candidate's own lines of its traceback."""
    lines = [
        f"line {frame.lineno}" for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename.startswith(prefix)
    ]  # fmt: skip
    where = f" (candidate {', '.join(lines[-3:])})" if lines else ""
    return f"{type(error).__name__}: {str(error)[:1500]}{where}"


def classify(error: BaseException, otherwise: str) -> str:
    text = str(error)
    if isinstance(error, MemoryError) or "can't allocate memory" in text or "bad_alloc" in text:
        return "memory_limit"
    if isinstance(error, OSError) and error.errno in (27, 28):
        return "file_limit"
    if isinstance(error, (BlockingIOError,)) or "can't start new thread" in text:
        return "process_limit"
    return otherwise


def map_state(module: torch.nn.Module, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The reference's state under the candidate's names: by name, else by order and shape.

    Raises:
        Refusal: ``state_mismatch`` where neither fits.
    """
    own = _state_dict(module)
    if set(own) == set(state):
        return state
    extra = {k: v for k, v in own.items() if k not in state}
    parameters = {k for k, _ in _named_parameters(module)}
    if len(extra) + len(state) == len(own) and not parameters & set(extra):
        return {**extra, **state}  # scratch buffers of its own are the candidate's business
    mine = [(k, v) for k, v in own.items()]
    theirs = list(state.items())
    if _len(mine) == _len(theirs) and all(
        tuple(a.shape) == tuple(b.shape) and a.dtype == b.dtype
        for (_, a), (_, b) in zip(mine, theirs, strict=True)
    ):
        return {k: v for (k, _), (_, v) in zip(mine, theirs, strict=True)}
    raise Refusal(
        "state_mismatch",
        f"the candidate's parameters and buffers {sorted(own)} do not match the reference's "
        f"{sorted(state)} by name nor by order and shape",
    )


def aliases(output: Any, inputs: list[torch.Tensor], state: list[torch.Tensor]) -> list[list[Any]]:
    """Which output leaves share storage with which inputs, state or other outputs."""
    found = []
    owners = [("input", i, t) for i, t in enumerate(inputs)]
    owners += [("state", i, t) for i, t in enumerate(state)]
    outputs = tensors_in(output)
    for i, leaf in enumerate(outputs):
        if leaf.layout is not torch.strided or not _numel(leaf):
            continue
        pointer = _untyped_storage(leaf).data_ptr()
        for kind, j, owner in owners:
            if _numel(owner) and _untyped_storage(owner).data_ptr() == pointer:
                found.append([i, kind, j])
        for j in range(i):
            if _numel(outputs[j]) and _data_ptr(outputs[j]) == _data_ptr(leaf):
                found.append([i, "output", j])
    return found
