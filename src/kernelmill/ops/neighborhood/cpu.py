"""Neighborhood attention on CPUs: `csrc/neighborhood.cpp` through ctypes."""

from __future__ import annotations

import ctypes
from functools import lru_cache

import torch
from torch import Tensor

from kernelmill.ops.kernel_call import DTYPES, longs, pointer, run, unfit
from kernelmill.ops.native import native
from kernelmill.ops.neighborhood.windows import axis_bounds
from kernelmill.ops.numerics import sum_dtype

_DTYPES = {**DTYPES, torch.float64: 3}
_P, _I, _D = ctypes.c_void_p, ctypes.c_int, ctypes.c_double
_SHARED = (_P, _P, _P, _P, _P, _P, _P, _P, _P, _D, _I)
_FORWARD = (*_SHARED, _P, _P, _I)
_BACKWARD = (*_SHARED, _P, _P, _P, _P, _P, _I)
_PLAN = (_P, _P, _I, _P, _P)


def fits(query, key, value, extra_key, extra_value, rpb, *window) -> str | None:
    return unfit("cpu", "query", query, _DTYPES)


@lru_cache(maxsize=256)
def _tables(axes: tuple) -> Tensor:
    """Bounds of all axes, one after the other. Kernels run on real tensors: no fake one gets in."""
    return torch.cat([axis_bounds(*axis).flatten() for axis in axes])


def _channels_last(x: Tensor | None) -> Tensor | None:
    """x with contiguous channels, copied only where they are not."""
    if x is None or x.stride(-1) == 1 or x.shape[-1] == 1:
        return x
    return x.contiguous()


class _Call:
    """The arguments that forward and backward share; keeps what the pointers point to."""

    def __init__(
        self, query, key, value, extra_key, extra_value, rpb, kernel_size, stride, dilation,
        is_causal, scale,
    ):  # fmt: skip
        self.tensors = [_channels_last(x) for x in (query, key, value, extra_key, extra_value)]
        query, key, value, extra_key, extra_value = self.tensors
        self.rpb = None if rpb is None else rpb.to(sum_dtype(query.dtype)).contiguous()
        batch, *grid, heads, width = query.shape
        count = 0 if extra_key is None else extra_key.shape[1]
        self.sizes = longs(
            batch, *grid, heads, key.shape[-2], width, value.shape[-1], count, *dilation,
            *kernel_size,
        )  # fmt: skip
        none = (0, 0, 0)
        self.strides = longs(
            *(s for x in (query, key, value) for s in x.stride()[:5]),
            *(none if extra_key is None else extra_key.stride()[:3]),
            *(none if extra_value is None else extra_value.stride()[:3]),
        )
        windows = zip(grid, kernel_size, stride, dilation, is_causal, strict=True)
        self.bounds = _tables(tuple(windows))
        self.scale, self.dtype = scale, _DTYPES[query.dtype]

    def arguments(self) -> tuple:
        return (
            *map(pointer, self.tensors), pointer(self.rpb), self.sizes, self.strides,
            self.bounds.data_ptr(), self.scale, self.dtype,
        )  # fmt: skip

    def plan(self) -> tuple[list[int], float]:
        """Tile on each axis and slabs; the share of useful products."""
        plan, useful = longs(0, 0, 0, 0), ctypes.c_double()
        native().function("na_plan", _PLAN)(
            self.sizes, self.bounds.data_ptr(), self.dtype, plan, ctypes.byref(useful)
        )
        return list(plan), useful.value


def tiling(args: tuple) -> tuple[tuple[int, ...], float]:
    """Queries of a tile on each axis, and the share of its products that lie in windows."""
    plan, useful = _Call(*args).plan()
    return tuple(plan[:3]), useful


def forward(*args):
    query, value = args[0], args[2]
    shape = query.shape[:-1]
    out = query.new_empty(*shape, value.shape[-1])
    lse = query.new_empty(shape, dtype=sum_dtype(query.dtype))
    if out.numel():
        call = _Call(*args)
        run("na_forward", _FORWARD, *call.arguments(), out.data_ptr(), lse.data_ptr())
    return out, lse


def backward(needs, grads, args, results):
    query, key, value, extra_key, extra_value, rpb = args[:6]
    out, lse = results
    grad_out, grad_lse = (g.contiguous() for g in grads)
    real = sum_dtype(query.dtype)
    pairs = needs[1] or needs[2], needs[3] or needs[4]  # keys and values go together

    def zeros(x: Tensor) -> Tensor:
        return torch.zeros(x.shape, dtype=real)

    grad_query = torch.empty(query.shape, dtype=query.dtype) if needs[0] else None
    grad_key, grad_value = map(zeros, (key, value)) if pairs[0] else (None, None)
    grad_extra = map(zeros, (extra_key, extra_value)) if pairs[1] else (None, None)
    grad_extra_key, grad_extra_value = grad_extra
    grad_rpb = None
    if out.numel():
        call = _Call(*args)
        if needs[5]:
            slabs = call.plan()[0][3]
            groups = args[8][0] * args[8][1] * args[8][2]
            grad_rpb = torch.zeros(query.shape[0], rpb.shape[0], groups * slabs, *rpb.shape[1:],
                                   dtype=real)  # fmt: skip
        found = (grad_query, grad_key, grad_value, grad_extra_key, grad_extra_value, grad_rpb)
        pointers = (ctypes.c_void_p * 6)(*map(pointer, found))
        run(
            "na_backward", _BACKWARD, *call.arguments(), out.contiguous().data_ptr(),
            lse.contiguous().data_ptr(), grad_out.data_ptr(), grad_lse.data_ptr(), pointers,
        )  # fmt: skip
        grad_rpb = None if grad_rpb is None else grad_rpb.sum((0, 2))
    elif needs[5]:
        grad_rpb = torch.zeros_like(rpb)
    found = [grad_query, grad_key, grad_value, grad_extra_key, grad_extra_value, grad_rpb]
    return tuple(
        grad.to(x.dtype) if need else None
        for need, grad, x in zip(needs, found, args[:6], strict=True)
    )
