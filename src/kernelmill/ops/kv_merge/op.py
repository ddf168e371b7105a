"""The public function `kv_merge`: its argument checks."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from kernelmill.ops.kv_merge.checks import check_cache, check_mass
from kernelmill.ops.kv_merge.merging import backend_for, merge_cache
from kernelmill.ops.numerics import FLOATS

EDGE_ORDERS = ("cosine", "random")
PIVOTS = ("attention", "last", "random")
WEIGHTS = ("gaussian", "uniform")
SHORTFALLS = ("evict", "error")


class KVMerged(NamedTuple):
    """A merged cache; L is the number of slots of the longest head.

    Attributes:
        keys, values: (B, H, L, d) and (B, H, L, dv), zero behind a head's length.
        counts: int32 (B, H, L): how many tokens a slot stands for; 0 behind the length.
        set_ids: int32 (B, H, T): the slot of each token; -1 where it was evicted.
        pivots: int32 (B, H, L): the token that a slot was merged around; -1 behind the length.
        lengths: int32 (B, H): slots of each head.
    """

    keys: Tensor
    values: Tensor
    counts: Tensor
    set_ids: Tensor
    pivots: Tensor
    lengths: Tensor


def kv_merge(
    keys: Tensor,
    values: Tensor,
    scores: Tensor,
    *,
    budget: int | None = None,
    threshold: float | None = None,
    recent: int = 0,
    heavy: int = 0,
    sigma: float | str = "adaptive",
    mass: str = "bias",
    max_set: int | None = None,
    shortfall: str = "evict",
    counts: Tensor | None = None,
    edge_order: str = "cosine",
    pivot: str = "attention",
    weights: str = "gaussian",
    generator: torch.Generator | None = None,
) -> KVMerged:
    r"""Merge neighbouring tokens of a key-value cache whose keys are alike.

    An edge between neighbours is eligible where neither of them is protected. Runs of merged edges
    are the sets; in each, the token of highest score is the pivot p, and

    ``w_i = n_i g_i / sum_j n_j g_j``, ``g_i = exp(-|k_p - k_i|^2 / (2 sigma^2))``,
    ``k = sum_i w_i k_i``, ``v = sum_i w_i v_i``

    with n_i the tokens that slot i stands for (1 at first).

    Args:
        keys: (B, H, T, d), as they are in the cache (rotated). values: (B, H, T, dv).
        scores: (B, H, T), for example `attention_column_sums`.
        budget: slots that every head is left with, exactly: the T - budget most similar eligible
            edges are merged. threshold: or merge every eligible edge whose cosine is above.
        recent, heavy: protected are the last ``recent`` tokens and the ``heavy`` others of highest
            score.
        sigma: ``"adaptive"``: ``sum_i n_i |k_p - k_i| / (sqrt(2) sum_i n_i)`` of each set; or a
            number (the paper's ablation: 5).
        mass: how a slot weighs as much as its tokens. ``"bias"``: the attention adds log(count)
            to its logits (`merged_attention`); exact where keys and values of a set are equal.
            ``"value"``: the value is multiplied by the count, the paper's formula, which
            inflates outputs, as the softmax still counts the slot once. ``"none"``: neither.
        max_set: no set is larger.
        shortfall: if too few edges are eligible for the budget: ``"evict"`` the slots of lowest
            score, protected ones last, or ``"error"``.
        counts: (B, H, T) of a cache that was merged before; 0 for padding, which has no weight.
        edge_order, pivot, weights: the method is ``cosine``, ``attention``, ``gaussian``; the
            others (``random``; ``last``, ``random``; ``uniform``) are its controls.
        generator: of the random controls.

    Raises:
        TypeError: a dtype is not accepted.
        ValueError: shapes or values do not fit, or the budget cannot be met (``"error"``).

    Source: KVMerger, arXiv 2407.08454, algorithm 1 and equations for sets, pivots and weights; the
    budget, ``mass="bias"`` and the reading of sigma are ours.

    Example:
        >>> keys = torch.tensor([[[[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 2.0]]]])
        >>> merged = kv_merge(keys, keys, torch.ones(1, 1, 4), budget=2, sigma=5.0)
        >>> merged.counts, merged.keys
        (tensor([[[2, 2]]], dtype=torch.int32), tensor([[[[1.0000, 0.0000],
                  [0.0000, 1.4950]]]]))
    """
    counts = _check(keys, values, scores, counts, budget, threshold, recent, heavy, sigma, max_set)
    check_mass(mass)
    for name, value, known in (
        ("edge_order", edge_order, EDGE_ORDERS), ("pivot", pivot, PIVOTS),
        ("weights", weights, WEIGHTS), ("shortfall", shortfall, SHORTFALLS),
    ):  # fmt: skip
        if value not in known:
            raise ValueError(f"{name}: got {value!r}, wanted one of {', '.join(known)}")
    batch, heads, total = keys.shape[:3]
    order = pivot_scores = None
    if edge_order == "random":
        order = torch.rand(batch, heads, max(total - 1, 0), generator=generator, device=keys.device)
    if pivot == "random":
        pivot_scores = torch.rand(scores.shape, generator=generator, device=keys.device)
    elif pivot == "last":
        pivot_scores = torch.arange(total, device=keys.device).float().expand(scores.shape)
    return KVMerged(
        *merge_cache(
            keys, values, scores.detach(), counts, order, pivot_scores, budget, threshold, recent,
            heavy, None if sigma == "adaptive" else float(sigma), mass, max_set,
            shortfall == "evict", weights == "gaussian", backend_for(keys, values),
        )
    )  # fmt: skip


def _check(
    keys: Tensor, values: Tensor, scores: Tensor, counts: Tensor | None, budget: int | None,
    threshold: float | None, recent: int, heavy: int, sigma: float | str, max_set: int | None,
) -> Tensor | None:  # fmt: skip
    """The counts, as int64."""
    check_cache("keys", keys)
    check_cache("values", values)
    shape = keys.shape[:3]
    if values.shape[:3] != shape:
        raise ValueError(f"values: got shape {tuple(values.shape)} for keys {tuple(keys.shape)}")
    if not isinstance(scores, Tensor) or scores.dtype not in FLOATS:
        raise TypeError("scores: wanted a floating-point tensor")
    if scores.shape != shape:
        raise ValueError(f"scores: got shape {tuple(scores.shape)}, wanted {tuple(shape)}")
    if (budget is None) == (threshold is None):
        given = "neither" if budget is None else "both"
        raise ValueError(f"budget, threshold: got {given}, wanted one of the two")
    if budget is not None and budget < 1:
        raise ValueError(f"budget: got {budget}, wanted at least 1 slot")
    total = shape[2]
    for name, value in (("recent", recent), ("heavy", heavy)):
        if not 0 <= value <= total:
            raise ValueError(f"{name}: got {value}, wanted 0 to {total} tokens")
    if sigma != "adaptive" and not (isinstance(sigma, (int, float)) and 0 < sigma < math.inf):
        raise ValueError(f"sigma: got {sigma!r}, wanted 'adaptive' or a number above 0")
    if max_set is not None and max_set < 1:
        raise ValueError(f"max_set: got {max_set}, wanted at least 1 token")
    if counts is None:
        return None
    if counts.shape != shape or counts.is_floating_point() or counts.dtype == torch.bool:
        raise ValueError(
            f"counts: got {counts.dtype} {tuple(counts.shape)}, wanted integers {tuple(shape)}"
        )
    return counts.long()
