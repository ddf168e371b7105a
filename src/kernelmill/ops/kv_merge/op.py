"""The public functions: argument checks, protected tokens, choice of edges, eviction."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from kernelmill.ops.kv_merge import cpu
from kernelmill.ops.kv_merge.reference import (
    adjacent_cosine_reference,
    attention_column_sums_reference,
    chosen_edges,
    kv_merge_reference,
    protected_tokens,
)
from kernelmill.ops.registry import forced

MASSES = ("bias", "value", "none")
EDGE_ORDERS = ("cosine", "random")
PIVOTS = ("attention", "last", "random")
WEIGHTS = ("gaussian", "uniform")
SHORTFALLS = ("evict", "error")
_FLOATS = (torch.float32, torch.float64, torch.float16, torch.bfloat16)


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


def adjacent_cosine(keys: Tensor) -> Tensor:
    """Cosine similarity of neighbouring keys.

    ``c_i = k_i . k_{i+1} / (|k_i| |k_{i+1}|)``, 0 beside a zero vector.

    Args:
        keys: (B, H, T, d).

    Returns:
        (B, H, T - 1), dtype of ``keys``.

    Raises:
        TypeError, ValueError: not a floating-point tensor of four dimensions.

    Example:
        >>> keys = torch.tensor([[[[1.0, 0.0], [2.0, 0.0], [0.0, 3.0]]]])
        >>> adjacent_cosine(keys)
        tensor([[[1., 0.]]])
    """
    _check_cache("keys", keys)
    return _cosine(keys).to(keys.dtype)


def attention_column_sums(
    queries: Tensor,
    keys: Tensor,
    *,
    scale: float | None = None,
    causal: bool = True,
    window: int | None = None,
) -> Tensor:
    """How much attention each token gets: the score by which KVMerger protects and picks pivots.

    ``a_j = mean over query heads of sum_i softmax_j(scale q_i . k_j)``

    Args:
        queries: (B, H G, Q, d), those of the last Q tokens. keys: (B, H, T, d).
        scale: default ``d ** -0.5``. causal: query i sees no key behind its own token.
        window: only the last so many queries.

    Returns:
        (B, H, T), dtype of ``keys``.

    Raises:
        TypeError, ValueError: shapes, dtypes or values do not fit.

    Source: KVMerger, arXiv 2407.08454, after H2O, arXiv 2306.14048.

    Example:
        >>> keys = torch.zeros(1, 1, 3, 2)
        >>> attention_column_sums(torch.zeros(1, 2, 3, 2), keys)  # 1 + 1/2 + 1/3, ...
        tensor([[[1.8333, 0.8333, 0.3333]]])
    """
    _check_cache("keys", keys)
    _check_cache("queries", queries)
    batch, heads, total, width = keys.shape
    if queries.shape[0] != batch or queries.shape[3] != width or queries.shape[1] % max(heads, 1):
        raise ValueError(
            f"queries: got shape {tuple(queries.shape)} for keys {tuple(keys.shape)}; wanted "
            f"({batch}, a multiple of {heads}, up to {total}, {width})"
        )
    if queries.shape[2] > total:
        raise ValueError(f"queries: {queries.shape[2]} queries for {total} keys")
    if window is not None:
        if window < 1:
            raise ValueError(f"window: got {window}, wanted at least 1 query or None")
        queries = queries[:, :, max(0, queries.shape[2] - window) :]
    scale = width**-0.5 if scale is None else scale
    if _fast(keys, queries):
        found = cpu.column_sums(queries, keys, scale, causal)
    else:
        found = attention_column_sums_reference(_wide(queries), _wide(keys), scale, causal)
    return found.to(keys.dtype)


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
    for name, value, known in (
        ("mass", mass, MASSES), ("edge_order", edge_order, EDGE_ORDERS), ("pivot", pivot, PIVOTS),
        ("weights", weights, WEIGHTS), ("shortfall", shortfall, SHORTFALLS),
    ):  # fmt: skip
        if value not in known:
            raise ValueError(f"{name}: got {value!r}, wanted one of {', '.join(known)}")
    total = keys.shape[2]
    fast = _fast(keys, values)
    order = _cosine(keys) if edge_order == "cosine" else (
        torch.rand(*keys.shape[:2], max(total - 1, 0), generator=generator, device=keys.device)
    )  # fmt: skip
    merges = None if budget is None else max(0, total - budget)
    if fast and max_set is None:
        edges, merged = cpu.choose(order, scores, recent, heavy, merges, threshold or 0.0)
        slots = total - merged
    else:
        protected = protected_tokens(scores, recent, heavy)
        eligible = ~protected[..., :-1] & ~protected[..., 1:]
        edges = chosen_edges(order, eligible, merges, threshold, max_set)
        slots = total - edges.sum(-1)
    most = int(slots.max()) if slots.numel() else 0
    evicted = None
    if budget is not None and most > budget:
        if shortfall == "error":
            raise ValueError(
                f"budget: got {budget}, but with the protected tokens only {most} slots can be "
                "reached; lower recent or heavy, or take shortfall='evict'"
            )
        evicted = _evicted(edges, scores, protected_tokens(scores, recent, heavy), slots, budget)
    by = _pivot_scores(pivot, scores, generator)
    width = None if sigma == "adaptive" else float(sigma)
    if fast and evicted is None:
        return KVMerged(
            *cpu.merge(keys, values, counts, by, edges, most, width, weights == "gaussian", mass)
        )
    if counts is None:
        counts = torch.ones(keys.shape[:3], dtype=torch.long, device=keys.device)
    found = kv_merge_reference(
        _wide(keys), _wide(values), counts, by, edges, evicted, width, weights == "gaussian", mass
    )
    return KVMerged(
        found[0].to(keys.dtype), found[1].to(values.dtype), *(x.int() for x in found[2:])
    )


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
        >>> x = torch.ones(1, 1, 4, 2)
        >>> merged = kv_merge(x, x, torch.ones(1, 1, 4), budget=1)
        >>> merged_attention(torch.ones(1, 2, 1, 2), merged).shape
        torch.Size([1, 2, 1, 2])
    """
    if mass not in MASSES:
        raise ValueError(f"mass: got {mass!r}, wanted one of {', '.join(MASSES)}")
    groups = queries.shape[1] // merged.keys.shape[1]
    counts = merged.counts.to(queries.dtype)
    bias = counts.log() if mass == "bias" else torch.zeros_like(counts)
    bias = bias.masked_fill(merged.counts == 0, -math.inf).repeat_interleave(groups, 1)
    return torch.nn.functional.scaled_dot_product_attention(
        queries,
        merged.keys.repeat_interleave(groups, 1),
        merged.values.repeat_interleave(groups, 1),
        attn_mask=bias.unsqueeze(2),
        scale=scale,
    )


def _fast(*tensors: Tensor) -> bool:
    """Are the compiled kernels to be used? They have no gradient."""
    wanted = torch.is_grad_enabled() and any(t.requires_grad for t in tensors)
    return not wanted and forced() != "reference" and cpu.fits(*tensors)


def _cosine(keys: Tensor) -> Tensor:
    return cpu.adjacent_cosine(keys) if _fast(keys) else adjacent_cosine_reference(_wide(keys))


def _pivot_scores(pivot: str, scores: Tensor, generator: torch.Generator | None) -> Tensor:
    if pivot == "attention":
        return _wide(scores)
    if pivot == "random":
        return torch.rand(scores.shape, generator=generator, device=scores.device)
    return torch.arange(scores.shape[-1], device=scores.device).float().expand(scores.shape)


def _evicted(
    edges: Tensor, scores: Tensor, protected: Tensor, slots: Tensor, budget: int
) -> Tensor:
    """Which slots (numbered before eviction, padded to T) go: those of lowest summed score,
    protected ones last, the first on ties."""
    total = scores.shape[-1]
    ids = torch.nn.functional.pad(~edges, (1, 0), value=True).long().cumsum(-1) - 1
    sums = torch.zeros_like(_wide(scores)).scatter_add(-1, ids, _wide(scores))
    kept = torch.zeros(ids.shape, dtype=torch.long, device=ids.device)
    kept = kept.scatter_reduce(-1, ids, protected.long(), "amax")
    place = torch.arange(total, device=ids.device).expand(ids.shape)
    kept = torch.where(place < slots.unsqueeze(-1), kept, 2)  # no slot at all: last of all
    by_score = sums.argsort(dim=-1, stable=True)
    order = by_score.gather(-1, kept.gather(-1, by_score).argsort(dim=-1, stable=True))
    rank = torch.empty_like(order).scatter_(-1, order, place)
    return rank < (slots - budget).clamp(min=0).unsqueeze(-1)


def _wide(x: Tensor) -> Tensor:
    return x if x.dtype == torch.float64 else x.float()


def _check_cache(name: str, x: Tensor) -> None:
    if not isinstance(x, Tensor) or x.dtype not in _FLOATS:
        got = x.dtype if isinstance(x, Tensor) else type(x).__name__
        raise TypeError(f"{name}: got {got}, wanted a float32, float64, float16 or bfloat16 tensor")
    if x.dim() != 4:
        raise ValueError(f"{name}: got shape {tuple(x.shape)}, wanted (B, H, T, d)")


def _check(
    keys: Tensor, values: Tensor, scores: Tensor, counts: Tensor | None, budget: int | None,
    threshold: float | None, recent: int, heavy: int, sigma: float | str, max_set: int | None,
) -> Tensor | None:  # fmt: skip
    """The counts, as int64."""
    _check_cache("keys", keys)
    _check_cache("values", values)
    shape = keys.shape[:3]
    if values.shape[:3] != shape:
        raise ValueError(f"values: got shape {tuple(values.shape)} for keys {tuple(keys.shape)}")
    if not isinstance(scores, Tensor) or scores.dtype not in _FLOATS:
        raise TypeError("scores: wanted a floating-point tensor")
    if scores.shape != shape:
        raise ValueError(f"scores: got shape {tuple(scores.shape)}, wanted {tuple(shape)}")
    if not bool(scores.isfinite().all()):
        raise ValueError("scores: not all of them are finite")
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
