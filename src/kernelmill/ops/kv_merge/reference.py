"""KV-cache merging in plain PyTorch: any device and dtype, no loop over tokens.

Shapes: B batch, H key-value heads, T tokens, d and dv head dimensions. The rules are those of
KVMerger (arXiv 2407.08454), where the paper is open resolved as said in `kv_merge`.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def adjacent_cosine_reference(keys: Tensor) -> Tensor:
    """cos(k_i, k_{i+1}), (B, H, T - 1); 0 beside a zero vector."""
    a, b = keys[..., :-1, :], keys[..., 1:, :]
    norms = keys.square().sum(-1)
    square = norms[..., :-1] * norms[..., 1:]
    scale = torch.where(square > 0, square, 1).sqrt()  # a root has no slope at 0
    return torch.where(square > 0, (a * b).sum(-1) / scale, 0)


def attention_column_sums_reference(
    queries: Tensor, keys: Tensor, scale: float | None = None, causal: bool = True,
    window: int | None = None,
) -> Tensor:  # fmt: skip
    """Column sums of softmax(scale q k^T), averaged over the query heads of each group.

    ``queries``: (B, H G, Q, d), the last Q of T tokens, of which the last ``window`` count.
    """
    if window is not None:
        queries = queries[:, :, max(0, queries.shape[2] - window) :]
    batch, heads, count, width = queries.shape
    kv_heads, total = keys.shape[1:3]
    grouped = queries.unflatten(1, (kv_heads, heads // kv_heads))
    scale = width**-0.5 if scale is None else scale
    logits = scale * grouped @ keys.unsqueeze(2).transpose(-1, -2)
    if causal:
        place = torch.arange(total, device=keys.device)
        logits = logits.masked_fill(place > place[total - count :, None], -math.inf)
    return logits.softmax(-1).sum(-2).mean(2)


def protected_tokens(scores: Tensor, recent: int, heavy: int) -> Tensor:
    """True for the last ``recent`` tokens and for the ``heavy`` others of highest score (lower
    index first on ties)."""
    total = scores.shape[-1]
    kept = torch.zeros(scores.shape, dtype=torch.bool, device=scores.device)
    kept[..., total - recent :] = True
    if heavy:
        order = scores[..., : total - recent].argsort(dim=-1, descending=True, stable=True)
        kept.scatter_(-1, order[..., :heavy], True)
    return kept


def chosen_edges(
    order: Tensor, eligible: Tensor, count: int | None, threshold: float | None,
    max_set: int | None,
) -> Tensor:  # fmt: skip
    """Which edges between neighbours are merged: (B, H, T - 1).

    By threshold all eligible ones above it; by count exactly that many, or all there are, largest
    first and the later one on ties.
    """
    if threshold is not None:
        return _capped(eligible & (order > threshold), max_set)
    while True:
        edges = _largest(order, eligible, count)
        capped = _capped(edges, max_set)
        if max_set is None or bool((capped == edges).all()):
            return capped
        eligible = eligible & ~(edges & ~capped)  # an edge that is one too many is given up


def _largest(order: Tensor, eligible: Tensor, count: int) -> Tensor:
    ranked = torch.where(eligible, order, torch.full_like(order, -math.inf))
    later_first = ranked.flip(-1).argsort(dim=-1, descending=True, stable=True)
    rank = torch.empty_like(later_first)
    places = torch.arange(order.shape[-1], device=order.device).expand_as(later_first)
    rank.scatter_(-1, later_first, places)
    return eligible & (rank.flip(-1) < count)


def _capped(edges: Tensor, max_set: int | None) -> Tensor:
    """Runs of edges cut so that no set has more than ``max_set`` tokens."""
    if max_set is None:
        return edges
    place = torch.arange(1, edges.shape[-1] + 1, device=edges.device).expand(edges.shape)
    last_cut = torch.where(edges, torch.zeros_like(place), place).cummax(-1).values
    return edges & ((place - last_cut) % max_set != 0)


def set_ids(edges: Tensor, total: int, evicted: Tensor | None) -> tuple[Tensor, Tensor]:
    """The slot of each of ``total`` tokens, (B, H, T), -1 where it is evicted; slots of each head,
    (B, H).

    ``evicted``: slots, numbered before, that are dropped.
    """
    if not total:
        none = torch.zeros(edges.shape, dtype=torch.long, device=edges.device)
        return none, none.sum(-1)
    ids = torch.nn.functional.pad(~edges, (1, 0), value=True).long().cumsum(-1) - 1
    if evicted is not None:
        keep = ~evicted
        ids = torch.where(keep, keep.long().cumsum(-1) - 1, -1).gather(-1, ids)
    return ids, ids.amax(-1) + 1


def set_pivots(pivot_scores: Tensor, ids: Tensor, slots: int) -> Tensor:
    """The first token of highest score in each set, (B, H, slots); -1 where there is none."""
    place = torch.where(ids < 0, slots, ids)  # evicted tokens come behind the last slot
    shape, total = (*ids.shape[:2], slots + 1), ids.shape[-1]
    best = pivot_scores.new_full(shape, -math.inf).scatter_reduce(-1, place, pivot_scores, "amax")
    index = torch.arange(total, device=ids.device).expand(ids.shape)
    first = torch.where(pivot_scores == best.gather(-1, place), index, total)
    pivots = ids.new_full(shape, total).scatter_reduce(-1, place, first, "amin")[..., :slots]
    return torch.where(pivots < total, pivots, -1)


def merge_sets(
    keys: Tensor, values: Tensor, counts: Tensor | None, ids: Tensor, pivots: Tensor,
    sigma: float | None, gaussian: bool, mass: str,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """Keys, values and counts of the slots that ``ids`` names. ``sigma``: ``None`` is adaptive."""
    slots = pivots.shape[-1]
    place = torch.where(ids < 0, slots, ids)
    number = torch.ones_like(keys[..., 0]) if counts is None else counts.to(keys.dtype)

    def per_slot(x: Tensor) -> Tensor:
        return x.new_zeros(*x.shape[:2], slots + 1).scatter_add(-1, place, x)

    def per_token(x: Tensor) -> Tensor:
        return x.gather(-1, place)

    center = per_token(torch.nn.functional.pad(pivots, (0, 1)).clamp(min=0))
    difference = keys.gather(-2, center.unsqueeze(-1).expand_as(keys)) - keys
    square = difference.square().sum(-1)
    sizes = per_slot(number)
    if sigma is None:
        # at the pivot itself a root would have an infinite slope
        distance = torch.where(square > 0, torch.where(square > 0, square, 1).sqrt(), 0)
        spread = per_token(per_slot(number * distance) / (math.sqrt(2) * sizes.clamp(min=1)))
    else:
        spread = torch.full_like(square, sigma)
    safe = torch.where(spread > 0, spread, 1)
    weight = torch.exp(-square / (2 * safe.square()))
    weight = number * torch.where((spread > 0) & gaussian, weight, 1)
    total_weight = per_token(per_slot(weight))
    # tokens that count for nothing (padding) have no weight, unless there are no others
    entries = per_token(per_slot(torch.ones_like(weight)))
    some = total_weight > 0
    weight = torch.where(some, weight / torch.where(some, total_weight, 1), 1 / entries)
    # a token that stays alone is copied bit by bit
    alone = torch.where(entries == 1, place, slots).unsqueeze(-1)

    def merged(x: Tensor, parts: Tensor, factor: Tensor | float) -> Tensor:
        out = x.new_zeros(*x.shape[:2], slots + 1, x.shape[-1])
        where = place.unsqueeze(-1).expand_as(x)
        out = out.scatter_add(-2, where, weight.unsqueeze(-1) * parts) * factor
        return out.scatter(-2, alone.expand_as(x), x)[..., :slots, :].contiguous()

    # in "value" a slot holds count times a mean: taken apart before, put together after
    by_value = mass == "value"
    parts = values / number.clamp(min=1).unsqueeze(-1) if by_value else values
    total = sizes if counts is None else per_slot(counts)
    return (
        merged(keys, keys, 1.0),
        merged(values, parts, sizes.unsqueeze(-1) if by_value else 1.0),
        total[..., :slots].to(torch.int32),
    )
