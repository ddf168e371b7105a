"""Neighborhood attention over all pairs of tokens with a mask: for checks and tiny grids."""

from __future__ import annotations

import torch
from torch import Tensor

from kernelmill.ops.neighborhood.arguments import Window
from kernelmill.ops.neighborhood.masks import neighborhood_mask
from kernelmill.ops.numerics import sum_dtype


def attend(
    query: Tensor, key: Tensor, value: Tensor, window: Window, scale: float,
    extra_key: Tensor | None, extra_value: Tensor | None, rpb: Tensor | None,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Output and lse of heads-last tensors (B, X.., H, D); sums in float32 (or float64).

    Logits of all N x N pairs are stored: nothing here depends on the gathers of the definition.
    """
    batch, *shape, heads, _ = query.shape
    wide = sum_dtype(query.dtype)
    last = len(shape)

    def flat(x: Tensor, last: int) -> Tensor:  # (B, H, tokens, channels)
        x = x.to(wide).flatten(1, last).transpose(1, 2)
        return x.repeat_interleave(heads // x.shape[1], 1)

    q, k, v = flat(query, last), flat(key, last), flat(value, last)
    logits = q @ k.transpose(-1, -2) * scale
    if rpb is not None:
        logits = logits + rpb.to(wide).flatten(1)[:, _places(shape, window, query.device)]
    mask = neighborhood_mask(tuple(shape), *window, device=query.device)
    logits = logits.masked_fill(~mask, -torch.inf)
    if extra_key is not None:
        logits = torch.cat([logits, q @ flat(extra_key, 1).transpose(-1, -2) * scale], -1)
        v = torch.cat([v, flat(extra_value, 1)], 2)
    lse = logits.logsumexp(-1)
    out = (logits - lse.unsqueeze(-1)).exp() @ v
    out = out.transpose(1, 2).reshape(batch, *shape, heads, value.shape[-1])
    return out.to(query.dtype), lse.transpose(1, 2).reshape(batch, *shape, heads)


def _places(shape, window: Window, device) -> Tensor:
    """(N, N) index into a flat bias; any place in it where the mask hides the pair."""
    place = torch.zeros(1, 1, dtype=torch.long, device=device)
    for n, k, d in zip(shape, window.kernel_size, window.dilation, strict=True):
        p = torch.arange(n, device=device) // d
        own = (p - p[:, None] + k - 1).clamp(0, 2 * k - 2)
        place = place[:, None, :, None] * (2 * k - 1) + own[None, :, None, :]
        place = place.reshape(place.shape[0] * n, place.shape[2] * n)
    return place
