"""The arguments of neighborhood attention: checked, and brought to three axes.

Kernels see three axes whatever the rank: axes of one token (kernel_size 1) are put in front.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from kernelmill.ops.numerics import FLOATS

AXES = 3


class Window(NamedTuple):
    """Window parameters, one entry per axis."""

    kernel_size: tuple[int, ...]
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    is_causal: tuple[bool, ...]


def per_axis(name: str, value, rank: int, kind: type = int) -> tuple:
    """``value`` for each of ``rank`` axes: one for all, or a sequence of that length."""
    single = not isinstance(value, (tuple, list))
    values = (value,) * rank if single else tuple(value)
    if len(values) != rank:
        raise ValueError(f"{name}: got {value!r} with {len(values)} entries for {rank} axes")
    for entry in values:
        # bool is an int: a window of size True is a mistake.
        if isinstance(entry, bool) != (kind is bool) or not isinstance(entry, (kind, torch.SymInt)):
            wanted = "True or False" if kind is bool else "whole numbers"
            raise ValueError(f"{name}: got {value!r}, wanted {wanted}, one or {rank} of them")
    return values


def check_window(
    shape: Sequence[int], kernel_size, stride=1, dilation=1, is_causal=False
) -> Window:
    """The window on a grid of this shape; ``None`` stands for the default.

    Raises:
        ValueError: a value is out of its range, or has the wrong number of entries.
    """
    rank = len(shape)
    window = Window(
        per_axis("kernel_size", kernel_size, rank),
        per_axis("stride", 1 if stride is None else stride, rank),
        per_axis("dilation", 1 if dilation is None else dilation, rank),
        per_axis("is_causal", False if is_causal is None else is_causal, rank, bool),
    )
    for axis, length in enumerate(shape):
        k, s, d = (value[axis] for value in window[:3])
        for name, value in (("kernel_size", k), ("stride", s), ("dilation", d)):
            if value < 1:
                raise ValueError(f"{name}: got {value} on axis {axis}, wanted at least 1")
        if s > k:
            raise ValueError(f"stride: got {s} on axis {axis}, wanted at most kernel_size = {k}")
        if k * d > length:
            raise ValueError(
                f"kernel_size * dilation: got {k} * {d} = {k * d} on axis {axis}, which has only "
                f"{length} tokens"
            )
    return window


def check_tensors(query: Tensor, key: Tensor, value: Tensor, rank: int | None = None) -> int:
    """The number of axes of heads-last tensors (B, X.., H, D).

    Raises:
        NotImplementedError: a sparse or nested tensor.
        TypeError, ValueError: dtypes, devices or shapes do not fit each other.
    """
    for name, x in (("query", query), ("key", key), ("value", value)):
        check_tensor(name, x)
    lowest, highest = (4, 6) if rank is None else (rank + 3, rank + 3)
    if not lowest <= query.dim() <= highest:
        grids = ("(B, X, H, D)", "(B, X, Y, H, D)", "(B, X, Y, Z, H, D)")
        wanted = " or ".join(grids if rank is None else grids[rank - 1 : rank])
        raise ValueError(f"query: got shape {tuple(query.shape)}, wanted {wanted}")
    for name, x in (("key", key), ("value", value)):
        if x.dim() != query.dim() or x.shape[:-2] != query.shape[:-2]:
            raise ValueError(
                f"{name}: got shape {tuple(x.shape)}, wanted batch and grid "
                f"{tuple(query.shape[:-2])} as of query"
            )
        if x.dtype != query.dtype or x.device != query.device:
            raise ValueError(
                f"{name}: got {x.dtype} on {x.device}, wanted {query.dtype} on {query.device} as "
                "of query"
            )
    heads, kv_heads = query.shape[-2], key.shape[-2]
    if value.shape[-2] != kv_heads:
        raise ValueError(f"value: got {value.shape[-2]} heads, wanted {kv_heads} as of key")
    if kv_heads < 1 or heads % kv_heads:
        raise ValueError(
            f"key: got {kv_heads} heads for {heads} heads of query; wanted a divisor of them"
        )
    if key.shape[-1] != query.shape[-1]:
        raise ValueError(
            f"key: got {key.shape[-1]} channels a head, wanted {query.shape[-1]} as of query"
        )
    for name, x in (("query", query), ("value", value)):
        if x.shape[-1] < 1:
            raise ValueError(f"{name}: got shape {tuple(x.shape)}, with no channel")
    return query.dim() - 3


def check_tensor(name: str, x: Tensor) -> None:
    if not isinstance(x, Tensor):
        raise TypeError(f"{name}: got {type(x).__name__}, wanted a tensor")
    if x.is_nested or x.layout != torch.strided:
        raise NotImplementedError(f"{name}: sparse and nested tensors are not supported")
    if x.dtype not in FLOATS:
        raise TypeError(f"{name}: got {x.dtype}, wanted float32, float64, float16 or bfloat16")


def check_additional(
    keys: Tensor | None, values: Tensor | None, query: Tensor, key: Tensor, value: Tensor
) -> None:
    """Additional keys and values: both or neither, (B, E, Hkv, D) and (B, E, Hkv, Dv)."""
    if (keys is None) != (values is None):
        missing = "additional_keys" if keys is None else "additional_values"
        raise ValueError(f"{missing}: got None, but the other was given; give both or neither")
    if keys is None:
        return
    for name, x, like in (("additional_keys", keys, key), ("additional_values", values, value)):
        check_tensor(name, x)
        wanted = (query.shape[0], keys.shape[1] if keys.dim() > 1 else -1, *like.shape[-2:])
        if x.dim() != 4 or tuple(x.shape) != wanted:
            raise ValueError(
                f"{name}: got shape {tuple(x.shape)}, wanted (B, E, heads, channels) with "
                f"B = {query.shape[0]}, heads and channels {tuple(like.shape[-2:])}"
            )
        if x.dtype != query.dtype or x.device != query.device:
            raise ValueError(
                f"{name}: got {x.dtype} on {x.device}, wanted {query.dtype} on {query.device}"
            )


def check_rpb(rpb: Tensor | None, window: Window, heads: int, device: torch.device) -> None:
    """Relative position bias (H, 2 k - 1, ..), not with causal axes."""
    if rpb is None:
        return
    check_tensor("rpb", rpb)
    if any(window.is_causal):
        raise ValueError("rpb: not defined with causal axes")
    wanted = (heads, *(2 * k - 1 for k in window.kernel_size))
    if tuple(rpb.shape) != wanted:
        raise ValueError(f"rpb: got shape {tuple(rpb.shape)}, wanted {wanted}")
    if rpb.device != device:
        raise ValueError(f"rpb: got a tensor on {rpb.device}, wanted one on {device}")


def check_scale(scale: float | None, query: Tensor) -> float:
    if scale is None:
        return query.shape[-1] ** -0.5
    number = isinstance(scale, (int, float, torch.SymFloat)) and not isinstance(scale, bool)
    if not number or not -math.inf < scale < math.inf:  # isfinite breaks the graph of a compiler
        raise ValueError(f"scale: got {scale!r}, wanted a finite number or None")
    return float(scale)


def three_axes(x: Tensor, rank: int) -> Tensor:
    """(B, X.., H, D) with axes of one token put in front of the grid: (B, X, Y, Z, H, D)."""
    for _ in range(AXES - rank):
        x = x.unsqueeze(1)
    return x


def widen(window: Window) -> Window:
    """The window with kernel_size 1 on axes put in front."""
    more = AXES - len(window.kernel_size)
    return Window(
        *((1,) * more + value for value in window[:3]), (False,) * more + window.is_causal
    )
