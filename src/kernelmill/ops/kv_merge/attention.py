"""Attention over the slots of a merged cache."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from kernelmill.ops.kv_merge import triton
from kernelmill.ops.kv_merge.checks import check_mass
from kernelmill.ops.kv_merge.op import KVMerged
from kernelmill.ops.numerics import sum_dtype
from kernelmill.ops.registry import forced


def merged_attention(
    queries: Tensor, merged: KVMerged, *, scale: float | None = None, mass: str = "bias"
) -> Tensor:
    """Attention of queries over a merged cache: every slot is visible, and counts for its tokens.

    ``softmax(scale q k^T + log(count)) v``; without the logarithm for the other ``mass``.

    Args:
        queries: (B, H G, Q, d). merged: of H heads. scale: default ``d ** -0.5``.
        mass: as in `kv_merge`.

    Returns:
        (B, H G, Q, dv).

    Example:
        >>> from kernelmill.ops import kv_merge
        >>> x = torch.ones(1, 1, 4, 2)
        >>> merged = kv_merge(x, x, torch.ones(1, 1, 4), budget=1)
        >>> merged_attention(torch.ones(1, 2, 1, 2), merged).shape
        torch.Size([1, 2, 1, 2])
    """
    check_mass(mass)
    return slot_attention(queries, *merged[:3], scale, mass == "bias")


def log_counts(counts: Tensor, dtype: torch.dtype, by_count: bool = True) -> Tensor:
    """What a slot's logits get: log(count), or 0 if not ``by_count``; -inf for an empty slot."""
    sums = sum_dtype(dtype)
    bias = counts.to(sums).log() if by_count else torch.zeros_like(counts, dtype=sums)
    return bias.masked_fill(counts == 0, -math.inf).to(dtype)


def slot_attention(
    queries: Tensor, keys: Tensor, values: Tensor, counts: Tensor, scale: float | None,
    by_count: bool = True,
) -> Tensor:  # fmt: skip
    """`merged_attention` on tensors; few queries on a GPU take a kernel that reads K and V once."""
    scale = queries.shape[3] ** -0.5 if scale is None else scale
    needs_grad = torch.is_grad_enabled() and any(x.requires_grad for x in (queries, keys, values))
    wanted = forced() or ("triton" if queries.device.type == "cuda" else "reference")
    if wanted == "triton" and not needs_grad and triton.decodes(queries, keys, values):
        return decode(queries, keys, values, counts, scale, by_count)
    groups = queries.shape[1] // keys.shape[1]
    bias = log_counts(counts, queries.dtype, by_count).repeat_interleave(groups, 1)
    return torch.nn.functional.scaled_dot_product_attention(
        queries, keys.repeat_interleave(groups, 1), values.repeat_interleave(groups, 1),
        attn_mask=bias.unsqueeze(2), scale=scale,
    )  # fmt: skip


@torch.library.custom_op("kernelmill::kv_decode", mutates_args=())
def decode(
    queries: Tensor, keys: Tensor, values: Tensor, counts: Tensor, scale: float, by_count: bool
) -> Tensor:
    """Split-KV attention of few queries, in Triton; no gradient."""
    return triton.decode(queries, keys, values, counts, scale, by_count)


@decode.register_fake
def _fake(queries, keys, values, counts, scale, by_count):
    return queries.new_empty((*queries.shape[:3], values.shape[3]))
