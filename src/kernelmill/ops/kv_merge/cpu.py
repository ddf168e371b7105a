"""KV-cache merging on CPUs: `csrc/kv_merge.cpp` through ctypes."""

from __future__ import annotations

import ctypes

import torch
from torch import Tensor

from kernelmill.ops.kernel_call import DTYPES, longs, pointer, run, unfit_together

_P, _I, _F = ctypes.c_void_p, ctypes.c_int, ctypes.c_float
_COSINE = (_P, _P, _P, _I, _P, _I)
_CHOOSE = (_P, _P, _P, _P, _F, _P, _P, _I)
_MERGE = (_P, _P, _P, _P, _P, _P, _P, _I, _F, _P, _P, _P, _P, _P, _P, _P, _I)
_SUMS = (_P, _P, _P, _P, _I, _F, _I, _P, _I)


def fits(*args) -> str | None:
    return unfit_together("cpu", [x for x in args if isinstance(x, Tensor)])


def _rows(x: Tensor) -> Tensor:
    """(B, H, T, d) whose rows (b, h) are evenly spaced and channels contiguous; copied if not."""
    spaced = x.shape[0] == 1 or x.shape[1] == 1 or x.stride(0) == x.shape[1] * x.stride(1)
    return x if x.stride(3) == 1 and spaced else x.contiguous()


def _row_stride(x: Tensor) -> int:
    return x.stride(1) if x.shape[1] > 1 or x.shape[0] == 1 else x.stride(0)


def adjacent_cosine(keys: Tensor) -> tuple[Tensor]:
    """float32 (B, H, T - 1)."""
    batch, heads, total, width = keys.shape
    keys = _rows(keys)
    out = torch.empty(batch, heads, max(total - 1, 0))
    if not out.numel():
        return (out,)
    run(
        "kv_cosine", _COSINE, keys.data_ptr(), longs(batch * heads, total, width),
        longs(_row_stride(keys), keys.stride(2)), DTYPES[keys.dtype], out.data_ptr(),
    )  # fmt: skip
    return (out,)


def choose(
    cosine: Tensor, scores: Tensor, recent: int, heavy: int, merges: int | None, threshold: float
) -> tuple[Tensor, Tensor]:
    """Merged edges (B, H, T - 1), bool, and how many of them each row has."""
    batch, heads, total = scores.shape
    edges = torch.empty(cosine.shape, dtype=torch.bool)
    merged = torch.empty(batch, heads, dtype=torch.int64)
    scores = scores.float().contiguous()
    run(
        "kv_choose", _CHOOSE, cosine.data_ptr(), scores.data_ptr(), longs(batch * heads, total),
        longs(recent, heavy, -1 if merges is None else merges), threshold, edges.data_ptr(),
        merged.data_ptr(),
    )  # fmt: skip
    return edges, merged


def merge(
    keys: Tensor, values: Tensor, counts: Tensor | None, pivot_scores: Tensor, edges: Tensor,
    slots: int, sigma: float | None, gaussian: bool, mass: str,
) -> tuple[Tensor, ...]:  # fmt: skip
    """(keys, values, counts, set_ids, pivots, lengths) with ``slots`` slots a row."""
    batch, heads, total, width = keys.shape
    keys, values = _rows(keys), _rows(values)
    edges, pivot_scores = edges.contiguous(), pivot_scores.float().contiguous()
    counts = None if counts is None else counts.contiguous()
    shape = (batch, heads, slots)
    out_keys, out_values = keys.new_empty(*shape, width), values.new_empty(*shape, values.shape[3])
    out_counts, pivots = (torch.empty(shape, dtype=torch.int32) for _ in range(2))
    ids = torch.empty(batch, heads, total, dtype=torch.int32)
    lengths = torch.empty(batch, heads, dtype=torch.int32)
    flags = (ctypes.c_int * 2)(gaussian, mass == "value")
    run(
        "kv_merge", _MERGE, keys.data_ptr(), values.data_ptr(),
        pointer(counts), pivot_scores.data_ptr(), edges.data_ptr(),
        longs(batch * heads, total, width, values.shape[3], slots),
        longs(_row_stride(keys), keys.stride(2), _row_stride(values), values.stride(2)),
        DTYPES[keys.dtype], 0.0 if sigma is None else sigma, flags, out_keys.data_ptr(),
        out_values.data_ptr(), out_counts.data_ptr(), ids.data_ptr(), pivots.data_ptr(),
        lengths.data_ptr(),
    )  # fmt: skip
    return out_keys, out_values, out_counts, ids, pivots, lengths


def column_sums(queries: Tensor, keys: Tensor, scale: float | None, causal: bool) -> tuple[Tensor]:
    """float32 (B, H, T)."""
    batch, heads, total, width = keys.shape
    queries, keys = _rows(queries), _rows(keys)
    out = torch.empty(batch, heads, total)
    if out.numel():
        groups = queries.shape[1] // heads
        run(
            "kv_column_sums", _SUMS, queries.data_ptr(), keys.data_ptr(),
            longs(batch * heads, groups, queries.shape[2], total, width),
            longs(_row_stride(queries), queries.stride(2), _row_stride(keys), keys.stride(2)),
            DTYPES[keys.dtype], width**-0.5 if scale is None else scale, causal, out.data_ptr(),
        )  # fmt: skip
    return (out,)
