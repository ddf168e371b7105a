"""Neighborhood attention in Triton: fused forward pass, deterministic backward pass.

The kernels read tensors of any strides as they are. Tiles of three axes are chosen here.
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor

from kernelmill.ops.kernel_call import unfit
from kernelmill.ops.neighborhood.windows import axis_bounds, query_bounds
from kernelmill.ops.numerics import next_power_of_two

_WIDEST = 512  # channels of a head: a row of a tile must fit into shared memory
_PROGRAMS = 512  # that partial sums are split over, about
_LOG2E = math.log2(math.e)


def fits(query, key, value, *_) -> str | None:
    if (refusal := unfit("triton", "query", query)) is not None:
        return refusal
    if max(query.shape[-1], value.shape[-1]) > _WIDEST:
        return f"no Triton kernel for heads of more than {_WIDEST} channels"
    return None


@lru_cache(maxsize=64)
def _tables(
    shape: tuple[int, ...], kernel_size: tuple[int, ...], stride: tuple[int, ...],
    dilation: tuple[int, ...], is_causal: tuple[bool, ...], device: torch.device,
) -> Tensor:  # fmt: skip
    """(4, X + Y + Z) int32: first and last key of a query, first and last query of a key."""
    columns = []
    for n, k, s, d, causal in zip(shape, kernel_size, stride, dilation, is_causal, strict=True):
        start, end = axis_bounds(n, k, s, d, causal)
        columns.append(torch.stack([start, end, *query_bounds(start, end, d)]))
    return torch.cat(columns, 1).to(device)


def _tile(lanes: int, lengths: list[int], reach: list[int]) -> tuple[int, int, int]:
    """``lanes`` shared out to the axes in powers of two, in proportion to ``reach``."""
    tile = [1, 1, 1]
    while math.prod(tile) < lanes:
        room = [i for i in (2, 1, 0) if tile[i] < lengths[i]] or [2]
        i = min(room, key=lambda i: tile[i] / reach[i])
        tile[i] *= 2
    return tuple(tile)


class _Launch:
    """What all kernels of one call share: sizes, tiles, options."""

    def __init__(self, args: tuple) -> None:
        query, key, value, extra_key, extra_value, rpb, kernel_size, stride, dilation, causal = (
            args[:10]
        )
        self.query, self.key, self.value, self.rpb = query, key, value, rpb
        self.extra_key, self.extra_value = extra_key, extra_value
        self.batch, *self.shape, self.heads, self.width = query.shape
        self.kv_heads, self.values = value.shape[-2:]
        self.kernel_size, self.dilation = kernel_size, dilation
        self.scale = args[10]
        self.factor = self.scale * _LOG2E
        self.table = _tables(
            tuple(self.shape), tuple(kernel_size), tuple(stride), tuple(dilation), tuple(causal),
            query.device,
        )  # fmt: skip
        self.bias = query if rpb is None else rpb.contiguous()
        self.has_extra = extra_key is not None and extra_key.shape[1] > 0
        x, y, _ = self.shape
        self.rank = 1 if x == y == 1 else 2 if x == 1 else 3
        self.blocks = {
            "D": self.width, "DV": self.values, "BD": max(16, next_power_of_two(self.width)),
            "BDV": max(16, next_power_of_two(self.values)),
        }  # fmt: skip
        self.wide = max(self.blocks["BD"], self.blocks["BDV"]) * query.element_size()  # bytes a row

    def lanes(self) -> int:
        """Tokens of a tile: as many as shared memory and registers take."""
        return 64 if self.wide <= 256 else 32 if self.wide <= 512 else 16

    def tiles(self, lanes: int, other: int) -> tuple[dict[str, int], int]:
        """Shapes of the program's own tiles and of those it walks over; the number of the first."""
        groups = [-(-n // d) for n, d in zip(self.shape, self.dilation, strict=True)]
        own = _tile(lanes, groups, self.kernel_size)
        reach = [t + k - 1 for t, k in zip(own, self.kernel_size, strict=True)]
        walked = _tile(other, [min(r, n) for r, n in zip(reach, groups, strict=True)], reach)
        count = math.prod(self.dilation)
        for n, t in zip(groups, own, strict=True):
            count *= -(-n // t)
        names = ("TX", "TY", "TZ", "UX", "UY", "UZ")
        return dict(zip(names, own + walked, strict=True)), count

    def options(self) -> dict[str, int]:
        # A deeper pipeline of wide rows does not fit into shared memory.
        return {"num_warps": 4, "num_stages": 2 if self.wide <= 512 else 1}

    def sizes(self) -> tuple[int, ...]:
        group = self.heads // self.kv_heads
        return (*self.shape, *self.dilation, *self.kernel_size, self.heads, group)

    def strides(self) -> tuple[int, ...]:
        return (*self.query.stride(), *self.key.stride(), *self.value.stride())

    def extra(self) -> tuple[tuple[Tensor, Tensor], tuple[int, ...]]:
        """Extra keys and values, and their strides; anything where there are none."""
        if not self.has_extra:
            return (self.key, self.value), (0,) * 8
        pair = self.extra_key, self.extra_value
        return pair, (*self.extra_key.stride(), *self.extra_value.stride())


def forward(*args):
    from kernelmill.ops.neighborhood import triton_kernels

    launch = _Launch(args)
    query = launch.query
    out = query.new_empty(*query.shape[:-1], launch.values)
    lse = query.new_empty(query.shape[:-1], dtype=torch.float32)
    if out.numel():
        tiles, count = launch.tiles(launch.lanes(), launch.lanes())
        extra, extra_strides = launch.extra()
        triton_kernels.forward[(count * launch.batch * launch.heads,)](
            query, launch.key, launch.value, *extra, launch.bias, launch.table, out, lse,
            launch.factor, *launch.sizes(), extra[0].shape[1] if launch.has_extra else 0,
            *launch.strides(), *extra_strides, EXTRA=launch.has_extra,
            BIAS=launch.rpb is not None, RANK=launch.rank, **launch.blocks, **tiles,
            **launch.options(),
        )  # fmt: skip
    return out, lse


def backward(needs, grads, args, results):
    from kernelmill.ops.neighborhood import triton_backward as kernels

    launch = _Launch(args)
    differentiable = (*args[:6],)
    found = [
        torch.empty_like(x) if need else None for x, need in zip(differentiable, needs, strict=True)
    ]
    if not launch.query.numel():
        return tuple(None if g is None else g.zero_() for g in found)
    out, lse = results
    grad, grad_lse = (g.contiguous() for g in grads)
    less = torch.empty_like(lse)
    rows = lse.numel()
    kernels.delta[(-(-rows // 32),)](
        out, grad, grad_lse, less, rows, DV=launch.values, BDV=launch.blocks["BDV"], ROWS=32
    )
    saved = grad, lse, less
    if needs[0]:
        _query_gradient(kernels, launch, saved, found[0])
    if needs[1] or needs[2]:
        both = [
            torch.empty_like(x) if g is None else g
            for x, g in zip(args[1:3], found[1:3], strict=True)
        ]
        _key_value_gradient(kernels, launch, saved, *both)
    if needs[3] or needs[4]:
        _extra_gradient(kernels, launch, saved, found)
    if needs[5]:
        _bias_gradient(kernels, launch, saved, found[5])
    return tuple(found)


def _query_gradient(kernels, launch: _Launch, saved, grad_query: Tensor) -> None:
    lanes = min(launch.lanes(), 32 if launch.wide > 256 else 64)
    tiles, count = launch.tiles(lanes, min(lanes, 32))
    extra, extra_strides = launch.extra()
    kernels.query_gradient[(count * launch.batch * launch.heads,)](
        launch.query, launch.key, launch.value, *extra, launch.bias, launch.table, *saved,
        grad_query, launch.scale, launch.factor, *launch.sizes(),
        extra[0].shape[1] if launch.has_extra else 0, *launch.strides(), *extra_strides,
        *grad_query.stride(), EXTRA=launch.has_extra, BIAS=launch.rpb is not None,
        RANK=launch.rank, **launch.blocks, **tiles, **launch.options(),
    )  # fmt: skip


def _key_value_gradient(kernels, launch: _Launch, saved, grad_key, grad_value) -> None:
    lanes = launch.lanes()
    tiles, count = launch.tiles(lanes, min(lanes, 32))
    kernels.key_value_gradient[(count * launch.batch * launch.kv_heads,)](
        launch.query, launch.key, launch.value, launch.bias, launch.table[2:], *saved, grad_key,
        grad_value, launch.scale, launch.factor, *launch.sizes(), *launch.strides(),
        *grad_key.stride(), *grad_value.stride(), BIAS=launch.rpb is not None, RANK=launch.rank,
        **launch.blocks, **tiles, **launch.options(),
    )  # fmt: skip


def _extra_gradient(kernels, launch: _Launch, saved, found: list) -> None:
    if not launch.has_extra:
        return  # their gradients are empty
    tokens = math.prod(launch.shape)
    (extra_key, extra_value), strides = launch.extra()
    batch, count = extra_key.shape[:2]
    keys, queries = 16, min(launch.lanes(), 32)
    programs = -(-count // keys) * batch * launch.kv_heads
    shares = max(1, min(-(-tokens // queries), _PROGRAMS // programs))
    share = -(-tokens // shares)
    parts = [x.new_empty((shares, *x.shape), dtype=torch.float32) for x in (extra_key, extra_value)]
    kernels.extra_gradient[(-(-count // keys) * shares, batch * launch.kv_heads)](
        launch.query, extra_key, extra_value, *saved, *parts, launch.scale, launch.factor,
        *launch.shape[1:], tokens, launch.heads, launch.heads // launch.kv_heads, count, share,
        *launch.query.stride(), *strides, **launch.blocks, KEYS=keys, QUERIES=queries,
        **launch.options(),
    )  # fmt: skip
    for i, part in zip((3, 4), parts, strict=True):
        if found[i] is not None:
            found[i].copy_(part.sum(0))


def _bias_gradient(kernels, launch: _Launch, saved, grad_rpb: Tensor) -> None:
    tokens = math.prod(launch.shape)
    rows, entries = launch.batch * tokens, grad_rpb.numel()
    queries = max(8, 4096 // max(launch.blocks["BD"], launch.blocks["BDV"]))
    shares = max(1, min(-(-rows // queries), _PROGRAMS // entries))
    part = grad_rpb.new_empty((shares, *grad_rpb.shape), dtype=torch.float32)
    kernels.bias_gradient[(entries, shares)](
        launch.query, launch.key, launch.value, launch.bias, launch.table, *saved, part,
        launch.factor, *launch.sizes()[:9], tokens, rows, *launch.sizes()[9:], -(-rows // shares),
        *launch.strides(), **launch.blocks, QUERIES=queries, num_warps=4,
    )  # fmt: skip
    grad_rpb.copy_(part.sum(0))
