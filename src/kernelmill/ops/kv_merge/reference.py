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
    scale = (norms[..., :-1] * norms[..., 1:]).sqrt()
    cosine = (a * b).sum(-1) / scale
    return torch.where(scale > 0, cosine, torch.zeros_like(cosine))


def attention_column_sums_reference(
    queries: Tensor, keys: Tensor, scale: float, causal: bool = True
) -> Tensor:
    """Column sums of softmax(scale q k^T), averaged over the query heads of each group.

    ``queries``: (B, H G, Q, d), the last Q of T tokens.
    """
    batch, heads, count, _ = queries.shape
    kv_heads, total = keys.shape[1:3]
    grouped = queries.reshape(batch, kv_heads, heads // kv_heads, count, -1)
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


def kv_merge_reference(
    keys: Tensor, values: Tensor, counts: Tensor, pivot_scores: Tensor, edges: Tensor,
    evicted: Tensor | None, sigma: float | None, gaussian: bool, mass: str,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
    """Merge the runs that ``edges`` joins: (keys, values, counts, set_ids, pivots, lengths).

    ``evicted``: slots, numbered before, that are dropped; ``sigma``: ``None`` is adaptive.
    """
    batch, heads, total, _ = keys.shape
    cut = torch.nn.functional.pad(~edges, (1, 0), value=True)
    ids = cut.long().cumsum(-1) - 1
    if evicted is not None:
        keep = ~evicted
        renumbered = torch.where(keep, keep.long().cumsum(-1) - 1, -1)
        ids = renumbered.gather(-1, ids)
    lengths = ids.amax(-1) + 1
    longest = int(lengths.max()) if lengths.numel() else 0
    # evicted tokens are gathered behind the last slot and cut off at the end
    place = torch.where(ids < 0, longest, ids)
    width = longest + 1

    def per_slot(x: Tensor, reduce: str, start: float) -> Tensor:
        out = torch.full((batch, heads, width), start, dtype=x.dtype, device=x.device)
        return out.scatter_reduce(-1, place, x, reduce)

    def per_token(x: Tensor) -> Tensor:
        return x.gather(-1, place)

    largest = per_token(per_slot(pivot_scores, "amax", -math.inf))
    index = torch.arange(total, device=keys.device).expand(ids.shape)
    first = torch.where(pivot_scores == largest, index, total)
    pivots = per_slot(first, "amin", total)
    at = per_token(pivots).unsqueeze(-1).expand_as(keys)
    square = (keys.gather(-2, at) - keys).square().sum(-1)
    # at the pivot itself a root would have an infinite slope
    distance = torch.where(square > 0, torch.where(square > 0, square, 1).sqrt(), 0)
    number = counts.to(keys.dtype)
    sizes = per_slot(number, "sum", 0.0)
    if sigma is None:
        spread = per_slot(number * distance, "sum", 0.0) / (math.sqrt(2) * sizes.clamp(min=1))
        spread = per_token(spread)
    else:
        spread = torch.full_like(distance, sigma)
    safe = torch.where(spread > 0, spread, 1)
    weight = torch.exp(-square / (2 * safe.square()))
    weight = number * torch.where((spread > 0) & gaussian, weight, torch.ones_like(weight))
    total_weight = per_token(per_slot(weight, "sum", 0.0))
    # tokens that count for nothing (padding) have no weight, unless there are no others
    entries = per_token(per_slot(torch.ones_like(weight), "sum", 0.0))
    some = total_weight > 0
    weight = torch.where(some, weight / torch.where(some, total_weight, 1), 1 / entries)

    def merged(x: Tensor) -> Tensor:
        out = x.new_zeros(batch, heads, width, x.shape[-1])
        return out.scatter_add(-2, place.unsqueeze(-1).expand_as(x), weight.unsqueeze(-1) * x)

    # in "value" a slot holds count times a mean: taken apart before, put together after
    parts = values / number.clamp(min=1).unsqueeze(-1) if mass == "value" else values
    new_values = merged(parts)
    if mass == "value":
        new_values = new_values * sizes.unsqueeze(-1)
    total_counts = per_slot(counts, "sum", 0)
    alone = entries == 1
    new_keys = merged(keys)
    # a token that stays alone is copied bit by bit
    single = torch.where(alone, place, longest).unsqueeze(-1)
    new_keys = new_keys.scatter(-2, single.expand_as(keys), keys)
    new_values = new_values.scatter(-2, single.expand_as(values), values)
    empty = torch.arange(longest, device=keys.device) >= lengths.unsqueeze(-1)
    pivots = torch.where(empty, -1, pivots[..., :longest])
    return (
        new_keys[..., :longest, :].masked_fill(empty.unsqueeze(-1), 0),
        new_values[..., :longest, :].masked_fill(empty.unsqueeze(-1), 0),
        total_counts[..., :longest].masked_fill(empty, 0),
        ids,
        pivots,
        lengths,
    )
