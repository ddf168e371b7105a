"""Ways to shorten a prefix's key-value cache: merging, and the evictions it is measured against.

Every compressor is called as ``compressor(queries, keys, values, share, generator=None)`` with the
(rotated) queries (B, H G, T, d) and the keys and values (B, H, T, d) of a prefix, and returns a
`KVMerged` of ``int(share * T)`` slots.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from kernelmill.ops.kv_merge import KVMerged, attention_column_sums, kv_merge
from kernelmill.ops.kv_merge.attention import log_counts

SINKS = 4  # first tokens that streaming never drops
WINDOW, POOL = 32, 7  # SnapKV's last queries, and over how many tokens their scores are pooled


def evict(keys: Tensor, values: Tensor, scores: Tensor, budget: int, recent: int = 0) -> KVMerged:
    """Keep the last ``recent`` tokens and the others of highest score, ``budget`` in all.

    Args:
        keys: (B, H, T, d). values: (B, H, T, dv). scores: (B, H, T).

    Raises:
        ValueError: the budget is not in [max(1, recent), T].

    Example:
        >>> x = torch.arange(4.0).view(1, 1, 4, 1)
        >>> evict(x, x, torch.tensor([[[1.0, 5.0, 2.0, 0.0]]]), budget=2, recent=1).pivots
        tensor([[[1, 3]]], dtype=torch.int32)
    """
    total = keys.shape[2]
    if not max(1, recent) <= budget <= total:
        raise ValueError(f"budget: got {budget}, wanted {max(1, recent)} to {total} slots")
    scores = scores.clone()
    scores[..., total - recent :] = math.inf
    index = scores.topk(budget, -1).indices.sort(-1).values
    ids = torch.full(scores.shape, -1, device=keys.device)
    ids.scatter_(-1, index, torch.arange(budget, device=keys.device).expand(index.shape))
    return KVMerged(
        *(x.gather(2, index.unsqueeze(-1).expand(-1, -1, -1, x.shape[3])) for x in (keys, values)),
        torch.ones(index.shape, dtype=torch.int32, device=keys.device),
        ids.int(),
        index.int(),
        torch.full(index.shape[:2], budget, dtype=torch.int32, device=keys.device),
    )


def untouched(keys: Tensor, values: Tensor) -> KVMerged:
    """All tokens, as a `KVMerged`."""
    return evict(keys, values, keys.new_zeros(keys.shape[:3]), keys.shape[2])


def protected_shares(share: float) -> tuple[float, float]:
    """The paper's recent and heavy shares at this budget."""
    return (0.17, 0.12) if share >= 0.5 else (0.08, 0.02)


def kvmerger(
    queries: Tensor, keys: Tensor, values: Tensor, share: float,
    generator: torch.Generator | None = None, **options,
) -> KVMerged:  # fmt: skip
    """Merging to an exact budget; ``options`` are those of `kernelmill.ops.kv_merge`."""
    total = keys.shape[2]
    recent, heavy = (int(part * total) for part in protected_shares(share))
    return kv_merge(
        keys, values, attention_column_sums(queries, keys), budget=_budget(share, total),
        recent=recent, heavy=heavy, generator=generator, **options,
    )  # fmt: skip


def h2o(queries, keys, values, share, generator=None) -> KVMerged:
    """Heavy hitters: half of the budget is recent, half has most attention (arXiv 2306.14048)."""
    budget = _budget(share, keys.shape[2])
    return evict(keys, values, attention_column_sums(queries, keys), budget, budget // 2)


def snapkv(queries, keys, values, share, generator=None) -> KVMerged:
    """Most attended by the last 32 queries, pooled over 7 tokens (after arXiv 2404.14469)."""
    budget = _budget(share, keys.shape[2])
    late = attention_column_sums(queries, keys, window=WINDOW)
    late = torch.nn.functional.max_pool1d(late, POOL, 1, POOL // 2)
    return evict(keys, values, late, budget, min(WINDOW, budget))


def streaming(queries, keys, values, share, generator=None) -> KVMerged:
    """The first four tokens and the last ones (StreamingLLM, arXiv 2309.17453)."""
    place = torch.arange(keys.shape[2], dtype=torch.float32, device=keys.device)
    place = torch.where(place < SINKS, math.inf, place).expand(keys.shape[:3])
    return evict(keys, values, place, _budget(share, keys.shape[2]))


def random(queries, keys, values, share, generator=None) -> KVMerged:
    """Recent tokens as in KVMerger, and others by chance."""
    total, budget = keys.shape[2], _budget(share, keys.shape[2])
    chance = torch.rand(keys.shape[:3], generator=generator).to(keys.device)
    return evict(keys, values, chance, budget, int(protected_shares(share)[0] * total))


COMPRESSORS: dict[str, Callable[..., KVMerged]] = {
    "kvmerger": kvmerger, "h2o": h2o, "snapkv": snapkv, "streaming": streaming, "random": random,
}  # fmt: skip


def attend(queries: Tensor, keys: Tensor, values: Tensor, cache: KVMerged, scale=None) -> Tensor:
    """Attention of new tokens over a compressed prefix and, causally, over themselves.

    A slot's logits get log(count). ``queries``: (B, H G, Q, d); ``keys``, ``values``: (B, H, Q, d).
    """
    new, groups = queries.shape[2], queries.shape[1] // keys.shape[1]
    bias = log_counts(cache.counts, queries.dtype).unsqueeze(2).expand(-1, -1, new, -1)
    causal = bias.new_full((new, new), -math.inf).triu(1).expand(*keys.shape[:2], new, new)
    keys, values = torch.cat([cache.keys, keys], 2), torch.cat([cache.values, values], 2)
    keys, values, bias = (
        x.repeat_interleave(groups, 1) for x in (keys, values, torch.cat([bias, causal], 3))
    )
    return torch.nn.functional.scaled_dot_product_attention(
        queries, keys, values, attn_mask=bias, scale=scale
    )


def _budget(share: float, total: int) -> int:
    if not 0 < share <= 1:
        raise ValueError(f"share: got {share}, wanted the share to keep, in (0, 1]")
    return max(1, int(share * total))
