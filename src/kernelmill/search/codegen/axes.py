"""Which index runs over what: the dimensions of a kernel's tensors as sequences of shared axes.

Two dimensions that are indexed together are one axis; a reshape splits an axis into factors. A
kernel is possible where this has a consistent answer: then every access is a sum of axis times
stride, without divisions.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

from kernelmill.search.codegen.ir import Prim, Unsupported


class Axis:
    """A loop range; after unification it may stand for another axis or for its two factors."""

    __slots__ = ("size", "same", "parts", "uid")
    count = 0

    def __init__(self, size: int):
        self.size = size
        self.same: Axis | None = None
        self.parts: tuple[Axis, Axis] | None = None
        Axis.count += 1
        self.uid = Axis.count

    def __repr__(self) -> str:
        return f"a{self.uid}<{self.size}>"


def leaves(axes: Iterable[Axis]) -> list[Axis]:
    """The final axes, outermost first."""
    result: list[Axis] = []
    for axis in axes:
        while axis.same is not None:
            axis = axis.same
        if axis.parts is None:
            result.append(axis)
        else:
            result.extend(leaves(axis.parts))
    return result


def unify(a: Iterable[Axis], b: Iterable[Axis]) -> None:
    """Make two sequences of axes (row-major) one.

    Raises:
        Unsupported: their factors do not nest, as those of (4, 6) and (3, 8).
    """
    left, right = leaves(a), leaves(b)
    while left and right:
        x, y = left.pop(), right.pop()
        if x is y:
            continue
        if x.size == y.size:
            x.same = y
        else:
            if x.size < y.size:
                x, y, left, right = y, x, right, left
            # x is the longer one: split off its inner part
            if x.size % y.size:
                raise Unsupported(f"axes of {x.size} and {y.size} do not nest")
            outer, inner = Axis(x.size // y.size), Axis(y.size)
            x.parts = (outer, inner)
            inner.same = y
            left.append(outer)
        left, right = leaves(left), leaves(right)
    if left or right:
        raise Unsupported("axes do not match")


class Dims:
    """The axes of every dimension of every prim that a kernel touches.

    ``external(prim)`` says which prims are read from memory.
    """

    def __init__(self, external: Callable[[Prim], bool]):
        self.external = external
        self.raw: dict[Prim, list[list[Axis]]] = {}
        # axes that a slice, gather or window indexes by an expression
        self.indexed: list[list[Axis]] = []

    def visit(self, prim: Prim) -> list[list[Axis]]:
        if prim not in self.raw:
            if 0 in prim.shape:
                raise Unsupported("empty tensor")
            self.raw[prim] = self._infer(prim)
        return self.raw[prim]

    def of(self, prim: Prim) -> list[list[Axis]]:
        return [leaves(dim) for dim in self.visit(prim)]

    def flat(self, prim: Prim) -> list[Axis]:
        return [axis for dim in self.of(prim) for axis in dim]

    def check(self) -> None:
        """No tensor may run over one axis twice (a diagonal)."""
        for prim in self.raw:
            flat = self.flat(prim)
            if len(set(flat)) != len(flat):
                raise Unsupported(f"{prim} would run along a diagonal")

    def _infer(self, prim: Prim) -> list[list[Axis]]:
        if self.external(prim) or prim.kind in ("buffer", "iota", "const"):
            return [_fresh(n) for n in prim.shape]
        args = [self.visit(a) for a in prim.args]
        kind = prim.kind
        if kind == "pointwise":
            return self._pointwise(prim, args)
        if kind == "reduce":
            dims = prim.attrs["dims"]
            return [axes for d, axes in enumerate(args[0]) if d not in dims]
        if kind == "scan":
            return list(args[0])
        if kind == "permute":
            return [args[0][p] for p in prim.attrs["perm"]]
        if kind == "reshape":
            result = [_fresh(n) for n in prim.shape]
            unify([x for dim in args[0] for x in dim], [x for dim in result for x in dim])
            return result
        if kind == "expand":
            source = prim.args[0].shape
            lead = len(prim.shape) - len(source)
            return [
                args[0][d - lead] if d >= lead and source[d - lead] == n else _fresh(n)
                for d, n in enumerate(prim.shape)
            ]
        if kind == "slice":
            dim = prim.attrs["dim"]
            self.indexed.append(args[0][dim])
            return [_fresh(prim.shape[d]) if d == dim else axes for d, axes in enumerate(args[0])]
        if kind == "gather":
            dim = prim.attrs["dim"]
            self.indexed.append(args[0][dim])
            for d in range(len(prim.shape)):
                if d != dim:
                    unify(args[0][d], args[1][d])
            return list(args[1])
        if kind == "window":
            rank = len(prim.attrs["kernel"])
            lead = len(prim.shape) - rank
            self.indexed.extend(args[0][lead:])
            for extra in args[1:]:
                # depthwise: weight (channels, 1, *kernel), bias (channels,)
                unify(args[0][lead - 1], extra[0])
            if len(args) > 1:
                self.indexed.extend(args[1][2:])
            return [*args[0][:lead], *(_fresh(n) for n in prim.shape[lead:])]
        raise Unsupported(f"axes of {kind}")

    def _pointwise(self, prim: Prim, args: list[list[list[Axis]]]) -> list[list[Axis]]:
        result: list[list[Axis]] = []
        rank = len(prim.shape)
        for d, n in enumerate(prim.shape):
            chosen: list[Axis] = []
            if n != 1:
                for arg, axes in zip(prim.args, args, strict=True):
                    at = d - (rank - len(arg.shape))
                    if at < 0 or arg.shape[at] == 1:
                        continue
                    if chosen:
                        unify(axes[at], chosen)
                    else:
                        chosen = axes[at]
            result.append(chosen)
        return result


def _fresh(size: int) -> list[Axis]:
    return [Axis(size)] if size != 1 else []


def strides(dims: list[list[Axis]], stride: Iterable[int]) -> dict[Axis, int]:
    """Memory step of every axis for a buffer of these dims and strides."""
    result: dict[Axis, int] = {}
    for axes, step in zip(dims, stride, strict=True):
        for axis in reversed(axes):
            result[axis] = step
            step *= axis.size
    return result


def volume(axes: Iterable[Axis]) -> int:
    return math.prod(a.size for a in axes)
