"""The generator's intermediate form: a graph of primitives over tensors of known shape.

A primitive is a whole tensor defined by an index rule: a buffer, a constant, element-wise work,
a reduction, a scan, a window reduction, or a view. What is not a primitive is a `Call`: a torch
operator that stays one.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

FLOATS = ("f64", "f32", "bf16", "f16")
INTS = ("i64", "i32", "i16", "i8", "u8")
C_STORAGE = {
    "f64": "double",
    "f32": "float",
    "bf16": "km_bf16",
    "f16": "_Float16",
    "i64": "int64_t",
    "i32": "int32_t",
    "i16": "int16_t",
    "i8": "int8_t",
    "u8": "uint8_t",
    "bool": "uint8_t",
}
# What a value is held in between load and store.
C_COMPUTE = {**C_STORAGE, "bf16": "float", "f16": "float", "bool": "bool"}
BYTES = {"f64": 8, "f32": 4, "bf16": 2, "f16": 2, "i64": 8, "i32": 4, "i16": 2, "i8": 1}
BYTES |= {"u8": 1, "bool": 1}
TORCH_NAMES = {
    "f64": "float64",
    "f32": "float32",
    "bf16": "bfloat16",
    "f16": "float16",
    "i64": "int64",
    "i32": "int32",
    "i16": "int16",
    "i8": "int8",
    "u8": "uint8",
    "bool": "bool",
}
VIEWS = ("permute", "reshape", "expand")
COMPUTED = ("pointwise", "reduce", "scan", "window", "gather", "slice")


class Unsupported(Exception):
    """The graph (or one operator of it) is beyond the generator."""


@dataclass(eq=False)
class Prim:
    """One tensor. ``attrs`` depends on ``kind``:

    - ``buffer``: name, stride; lives in memory before the kernel runs
    - ``const``: value
    - ``iota``: dim of which the value is the index
    - ``pointwise``: op; arguments broadcast from the right
    - ``reduce``: op, dims (dropped from the shape)
    - ``scan``: op, dim
    - ``window``: op, kernel, stride, padding, dilation, ... over the last dims
    - ``gather``: dim; arguments (source, index), shapes as in ``torch.gather``
    - ``slice``: dim, start, step (negative step: flip)
    - ``permute``: perm; ``reshape``; ``expand``
    """

    kind: str
    args: tuple[Prim, ...]
    shape: tuple[int, ...]
    dtype: str
    attrs: dict[str, Any] = field(default_factory=dict)
    id: int = 0

    def __repr__(self) -> str:
        what = self.attrs.get("op") or self.attrs.get("name") or self.attrs.get("value", "")
        return f"%{self.id}:{self.kind}.{what}{list(self.shape)}"

    @property
    def numel(self) -> int:
        return math.prod(self.shape)


@dataclass(eq=False)
class Call:
    """A torch operator that stays one. ``args`` and ``kwargs`` hold prims in place of tensors;
    ``outputs`` are the buffers it makes (``None`` for outputs nobody reads)."""

    target: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    outputs: tuple[Prim | None, ...]
    single: bool = True

    @property
    def inputs(self) -> list[Prim]:
        return list(iter_prims((self.args, self.kwargs)))


@dataclass
class Program:
    """A lowered graph: calls in order, the input buffers, what to return and to write back.

    ``leaves`` maps a buffer's name to the Python expression that yields it; ``writes`` are
    (expression of a module's buffer, new value) pairs; ``output`` is a structure of prims;
    ``fingerprint`` is the same for the same graph.
    """

    calls: list[Call]
    leaves: dict[str, str]
    leaf_prims: dict[str, Prim]
    output: Any
    writes: list[tuple[str, Prim]]
    user_inputs: list[tuple[str, Any]]
    fingerprint: str = ""


def iter_prims(structure: Any) -> Iterable[Prim]:
    if isinstance(structure, Prim):
        yield structure
    elif isinstance(structure, dict):
        for value in structure.values():
            yield from iter_prims(value)
    elif isinstance(structure, list | tuple):
        for value in structure:
            yield from iter_prims(value)


class Builder:
    """Makes prims, one object per distinct value (common subexpressions meet)."""

    def __init__(self) -> None:
        self.known: dict[Any, Prim] = {}
        self.count = 0

    def make(
        self,
        kind: str,
        args: Sequence[Prim],
        shape: Sequence[int],
        dtype: str,
        **attrs: Any,
    ) -> Prim:
        shape = tuple(int(n) for n in shape)
        key = (kind, tuple(id(a) for a in args), shape, dtype, repr(sorted(attrs.items())))
        if key not in self.known:
            self.count += 1
            self.known[key] = Prim(kind, tuple(args), shape, dtype, attrs, self.count)
        return self.known[key]

    def forget(self, count: int) -> None:
        """Drop what was made after the first ``count`` prims."""
        self.known = {key: prim for key, prim in self.known.items() if prim.id <= count}

    def buffer(self, name: str, shape: Sequence[int], dtype: str, stride: Sequence[int]) -> Prim:
        return self.make("buffer", (), shape, dtype, name=name, stride=tuple(stride))

    def const(self, value: float | int | bool, dtype: str) -> Prim:
        if dtype == "bool":
            value = bool(value)
        elif dtype in INTS:
            value = int(value)
        else:
            value = float(value)
        return self.make("const", (), (), dtype, value=value)

    def full(self, shape: Sequence[int], value: float | int | bool, dtype: str) -> Prim:
        return self.expand(self.const(value, dtype), shape)

    def cast(self, x: Prim, dtype: str) -> Prim:
        if x.dtype == dtype:
            return x
        if x.kind == "const":
            value = x.attrs["value"]
            if dtype not in INTS or (isinstance(value, int | bool) or float(value).is_integer()):
                return self.const(value, dtype)
        return self.make("pointwise", (x,), x.shape, dtype, op="cast")

    def pw(self, op: str, *args: Any, dtype: str | None = None, compute: str | None = None) -> Prim:
        """Element-wise ``op``. ``compute``: the dtype that the arguments are brought to (default:
        their promoted one); ``dtype``: the result's (default ``compute``)."""
        prims = [a for a in args if isinstance(a, Prim)]
        compute = compute or promote([p.dtype for p in prims])
        full = [
            self.cast(a, compute) if isinstance(a, Prim) else self.const(a, compute) for a in args
        ]
        shape = broadcast([a.shape for a in full])
        return self.make("pointwise", full, shape, dtype or compute, op=op)

    def where(self, condition: Prim, a: Any, b: Any, dtype: str | None = None) -> Prim:
        prims = [p for p in (a, b) if isinstance(p, Prim)]
        dtype = dtype or promote([p.dtype for p in prims])
        a, b = (
            self.cast(p, dtype) if isinstance(p, Prim) else self.const(p, dtype) for p in (a, b)
        )
        condition = self.cast(condition, "bool")
        shape = broadcast([condition.shape, a.shape, b.shape])
        return self.make("pointwise", (condition, a, b), shape, dtype, op="where")

    def reduce(self, op: str, x: Prim, dims: Sequence[int], keepdim: bool = False) -> Prim:
        rank = len(x.shape)
        dims = tuple(sorted({d % rank for d in dims})) if rank else ()
        if not dims:
            return x
        shape = [n for d, n in enumerate(x.shape) if d not in dims]
        dtype = {"argmax": "i64", "argmin": "i64", "any": "bool", "all": "bool"}.get(op, x.dtype)
        if op == "mean" and dtype not in ("f32", "f64"):
            raise Unsupported(f"mean of {dtype}")
        real = [d for d in dims if x.shape[d] != 1]
        if not real and op in ("argmax", "argmin"):
            result = self.full(shape, 0, "i64")
        elif not real:
            result = self.reshape(x, shape)
        else:
            result = self.make("reduce", (x,), shape, dtype, op=op, dims=dims)
        if keepdim:
            result = self.reshape(result, [1 if d in dims else n for d, n in enumerate(x.shape)])
        return result

    def scan(self, op: str, x: Prim, dim: int) -> Prim:
        if not x.shape:
            return x
        return self.make("scan", (x,), x.shape, x.dtype, op=op, dim=dim % len(x.shape))

    def permute(self, x: Prim, perm: Sequence[int]) -> Prim:
        perm = tuple(p % len(x.shape) for p in perm)
        if perm == tuple(range(len(perm))):
            return x
        return self.make("permute", (x,), [x.shape[p] for p in perm], x.dtype, perm=perm)

    def reshape(self, x: Prim, shape: Sequence[int]) -> Prim:
        shape = list(shape)
        if -1 in shape:
            known = math.prod(n for n in shape if n != -1)
            shape[shape.index(-1)] = x.numel // known if known else 0
        if tuple(shape) == x.shape:
            return x
        if x.kind == "reshape":
            x = x.args[0]
            if tuple(shape) == x.shape:
                return x
        if x.kind == "expand" and x.args[0].kind == "const":
            return self.expand(x.args[0], shape)
        return self.make("reshape", (x,), shape, x.dtype)

    def expand(self, x: Prim, shape: Sequence[int]) -> Prim:
        shape = list(shape)
        lead = len(shape) - len(x.shape)
        shape = [x.shape[d - lead] if n == -1 else n for d, n in enumerate(shape)]
        if tuple(shape) == x.shape:
            return x
        return self.make("expand", (x,), shape, x.dtype)

    def slice(self, x: Prim, dim: int, start: int, length: int, step: int = 1) -> Prim:
        dim %= len(x.shape)
        if start == 0 and step == 1 and length == x.shape[dim]:
            return x
        shape = list(x.shape)
        shape[dim] = length
        return self.make("slice", (x,), shape, x.dtype, dim=dim, start=start, step=step)


def promote(dtypes: Sequence[str]) -> str:
    """The dtype that torch computes in for tensors of these dtypes."""
    floats = [d for d in dtypes if d in FLOATS]
    if floats:
        if "f64" in floats:
            return "f64"
        if "f32" in floats or len(set(floats)) > 1:
            return "f32"
        return floats[0]
    ints = [d for d in dtypes if d in INTS]
    if not ints:
        return "bool"
    if "u8" in ints and set(ints) & {"i8"}:
        return "i16"
    return min(ints, key=INTS.index)


def broadcast(shapes: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    rank = max((len(s) for s in shapes), default=0)
    result = [1] * rank
    for shape in shapes:
        for d, n in enumerate(shape):
            at = rank - len(shape) + d
            if n != 1:
                if result[at] not in (1, n):
                    raise Unsupported(f"shapes {shapes} do not broadcast")
                result[at] = n
    return tuple(result)
