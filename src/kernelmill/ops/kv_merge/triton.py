"""KV-cache merging in Triton: cosines, column sums, the merge, and attention over slots."""

from __future__ import annotations

import importlib.util

import torch
from torch import Tensor

from kernelmill.ops.kernel_call import unfit_together
from kernelmill.ops.numerics import next_power_of_two
from kernelmill.ops.registry import interpreting

_LOG2E = 1.4426950408889634
_INSTALLED = importlib.util.find_spec("triton") is not None
_kernels = None


def fits(*args) -> str | None:
    return unfit_together("triton", [x for x in args if isinstance(x, Tensor)])


def _load():
    """Import Triton only when it is needed."""
    global _kernels
    if _kernels is None:
        from kernelmill.ops.kv_merge import triton_kernels

        _kernels = triton_kernels
    return _kernels


def _tile(n: int, least: int, most: int) -> int:
    return min(most, max(least, next_power_of_two(n)))


def adjacent_cosine(keys: Tensor) -> tuple[Tensor]:
    """float32 (B, H, T - 1)."""
    batch, heads, total, width = keys.shape
    out = keys.new_empty((batch, heads, max(total - 1, 0)), dtype=torch.float32)
    if out.numel():
        block = _tile(total - 1, 1, 32)
        _load().cosine[(batch * heads * -(-(total - 1) // block),)](
            keys, out, total, width, heads, *keys.stride(), BLOCK_T=block,
            BLOCK_D=_tile(width, 1, 128),
        )  # fmt: skip
    return (out,)


def column_sums(queries: Tensor, keys: Tensor, scale: float | None, causal: bool) -> tuple[Tensor]:
    """float32 (B, H, T): one pass for each query's log-sum, one for the sums over queries."""
    batch, heads, total, width = keys.shape
    all_heads, count = queries.shape[1:3]
    out = keys.new_empty((batch, heads, total), dtype=torch.float32)
    if not out.numel():
        return (out,)
    lse = keys.new_empty((batch, all_heads, count), dtype=torch.float32)
    scale = _LOG2E * (width**-0.5 if scale is None else scale)
    blocks = {"BLOCK_N": _tile(count, 16, 64), "BLOCK_M": _tile(total, 16, 64)}
    rest = (
        scale, count, total, width, heads, all_heads // heads, *queries.stride(), *keys.stride()
    )  # fmt: skip
    options = {"CAUSAL": causal, "UPCAST": interpreting(), "BLOCK_D": _tile(width, 16, 128)}
    options |= blocks
    grid = (batch * all_heads * -(-count // blocks["BLOCK_N"]),)
    if lse.numel():
        _load().row_lse[grid](queries, keys, lse, *rest, **options)
    grid = (batch * heads * -(-total // blocks["BLOCK_M"]),)
    _load().column_sums[grid](queries, keys, lse, out, *rest, **options)
    return (out,)


def merge(
    keys: Tensor, values: Tensor, counts: Tensor | None, pivot_scores: Tensor, ids: Tensor,
    slots: int, sigma: float | None, gaussian: bool, mass: str,
) -> tuple[tuple[Tensor, Tensor, Tensor], Tensor]:  # fmt: skip
    """(keys, values, counts) and pivots, with ``slots`` slots a row."""
    batch, heads, total, width = keys.shape
    value_width, shape = values.shape[3], (batch, heads, slots)
    found = keys.new_empty((*shape, width)), values.new_empty((*shape, value_width))
    sizes, pivots = (torch.empty(shape, dtype=torch.int32, device=keys.device) for _ in range(2))
    if not sizes.numel():
        return (*found, sizes), pivots
    starts, ends = _bounds(ids, slots)
    block_d, block_v = next_power_of_two(width), next_power_of_two(value_width)
    _load().merge[(sizes.numel(),)](
        keys, values, starts if counts is None else counts.to(torch.int32).contiguous(),
        pivot_scores.float().contiguous(), starts, ends, *found, sizes, pivots,
        0.0 if sigma is None else sigma, slots, total, width, value_width, heads,
        *keys.stride(), *values.stride(), HAS_COUNTS=counts is not None, GAUSSIAN=gaussian,
        ADAPTIVE=sigma is None, BY_VALUE=mass == "value",
        BLOCK_N=_tile(4, 1, max(1, 2048 // max(block_d, block_v))), BLOCK_D=block_d,
        BLOCK_V=block_v, num_warps=1,
    )  # fmt: skip
    return (*found, sizes), pivots


def _bounds(ids: Tensor, slots: int) -> tuple[Tensor, Tensor]:
    """First token of each slot and the one behind its last, int32; both 0 for an empty slot."""
    place = torch.where(ids < 0, slots, ids)
    index = torch.arange(ids.shape[-1], device=ids.device, dtype=torch.int32).expand(ids.shape)
    none = index.new_zeros(*ids.shape[:2], slots + 1)
    ends = none.scatter_reduce(-1, place, index + 1, "amax")
    starts = none.scatter_reduce(-1, place, index, "amin", include_self=False)
    return starts[..., :slots].contiguous(), ends[..., :slots].contiguous()


def decodes(queries: Tensor, keys: Tensor, values: Tensor) -> bool:
    """Does `decode` take these? Few queries, heads of usual width."""
    if not _INSTALLED:
        return False
    few = queries.shape[2] * (queries.shape[1] // max(keys.shape[1], 1)) <= 64
    widths = max(keys.shape[3], values.shape[3])
    return fits(queries, keys, values) is None and few and widths <= 256 and keys.numel() > 0


def decode(
    queries: Tensor, keys: Tensor, values: Tensor, counts: Tensor, scale: float, by_count: bool
) -> Tensor:
    """(B, H G, Q, dv): the slots in parts that run at once, then put together."""
    batch, heads, slots, width = keys.shape
    value_width = values.shape[3]
    rows = queries.shape[1] // heads * queries.shape[2]
    block_m = _tile(slots, 16, 64)
    # enough programs for any GPU, and none with less than a tile
    splits = max(1, min(-(-slots // block_m), -(-512 // (batch * heads))))
    length = -(-slots // splits)
    length = -(-length // block_m) * block_m
    splits = -(-slots // length)
    parts = keys.new_empty((batch, heads, splits, rows, value_width), dtype=torch.float32)
    lse = keys.new_empty((batch, heads, splits, rows, 1), dtype=torch.float32)
    _load().decode[(batch * heads * splits,)](
        queries.contiguous(), keys, values, counts.to(torch.int32).contiguous(), parts, lse,
        scale * _LOG2E, rows, slots, length, width, value_width, heads, splits, *keys.stride(),
        *values.stride(), BY_COUNT=by_count, UPCAST=interpreting(), BLOCK_N=_tile(rows, 16, 64),
        BLOCK_M=block_m, BLOCK_D=_tile(width, 16, 128), BLOCK_V=_tile(value_width, 16, 256),
    )  # fmt: skip
    share = torch.softmax(lse * (1 / _LOG2E), 2)
    out = (parts * share).sum(2)
    return out.view(*queries.shape[:3], value_width).to(queries.dtype)
