"""Neighborhood attention in plain PyTorch: the definition. Gathers the window of every query."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from kernelmill.ops.neighborhood.windows import axis_bounds
from kernelmill.ops.numerics import sum_dtype

_CHUNK = 1 << 24  # elements gathered at a time


def grid_neighbors(
    shape: Sequence[int], kernel_size: Sequence[int], stride: Sequence[int],
    dilation: Sequence[int], is_causal: Sequence[bool], device,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """Neighbours of every token of a grid, row-major over the window.

    Returns:
        Flat index (N, K) of the neighbour; whether it is one (causal windows may be clipped);
        and its place (N, K) in a relative position bias of 2 k - 1 entries an axis, flat.
    """
    index = torch.zeros((), dtype=torch.long, device=device)
    valid = torch.ones((), dtype=torch.bool, device=device)
    place = torch.zeros((), dtype=torch.long, device=device)
    rank = len(shape)
    for axis, (n, k, s, d, causal) in enumerate(
        zip(shape, kernel_size, stride, dilation, is_causal, strict=True)
    ):
        start, end = axis_bounds(n, k, s, d, causal).to(device).long()
        token = torch.arange(n, device=device)
        r = start[:, None] + torch.arange(k, device=device)  # (n, k), group coordinates
        ok = r <= end[:, None]
        r = torch.minimum(r, end[:, None])
        offset = r - (token // d)[:, None] + k - 1
        own = [1] * (2 * rank)
        own[axis], own[rank + axis] = n, k
        index = index * n + (r * d + (token % d)[:, None]).view(own)
        place = place * (2 * k - 1) + offset.view(own)
        valid = valid & ok.view(own)
    tokens, window = torch.Size(shape).numel(), torch.Size(kernel_size).numel()
    full = (*shape, *kernel_size)
    return tuple(x.expand(full).reshape(tokens, window) for x in (index, valid, place))


def neighborhood_attention_plain(
    query: Tensor, key: Tensor, value: Tensor, extra_key: Tensor | None,
    extra_value: Tensor | None, rpb: Tensor | None, kernel_size, stride, dilation, is_causal,
    scale: float,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """``out = softmax(scale q . k + rpb) v`` over the window and the extra keys, and its lse.

    Tensors (B, X.., H, D) of any number of axes; sums in float32 (float64 for float64).
    """
    batch, *shape, heads, _ = query.shape
    wide = sum_dtype(query.dtype)
    groups = heads // key.shape[-2]

    def flat(x: Tensor, last: int) -> Tensor:
        return x.to(wide).flatten(1, last).repeat_interleave(groups, 2)

    last = len(shape)
    q, k, v = query.to(wide).flatten(1, last) * scale, flat(key, last), flat(value, last)
    index, valid, place = grid_neighbors(
        shape, kernel_size, stride, dilation, is_causal, query.device
    )
    bias = None if rpb is None else rpb.to(wide).flatten(1)
    rows = max(1, _CHUNK // max(1, batch * index.shape[1] * heads * k.shape[-1]))
    outs, lses = [], []
    for first in range(0, index.shape[0], rows):
        chunk = slice(first, first + rows)
        near, mine = index[chunk], q[:, chunk]
        logits = torch.einsum("bnhd,bnkhd->bnhk", mine, k[:, near])
        if bias is not None:
            logits = logits + bias[:, place[chunk]].transpose(0, 1)
        logits = logits.masked_fill(~valid[chunk, None], -torch.inf)
        if extra_key is not None:
            more = torch.einsum("bnhd,behd->bnhe", mine, flat(extra_key, 1))
            logits = torch.cat([logits, more], -1)
        lse = logits.logsumexp(-1)
        weights = (logits - lse.unsqueeze(-1)).exp()
        window = near.shape[1]
        out = torch.einsum("bnhk,bnkhd->bnhd", weights[..., :window], v[:, near])
        if extra_value is not None:
            out = out + torch.einsum("bnhe,behd->bnhd", weights[..., window:], flat(extra_value, 1))
        outs.append(out)
        lses.append(lse)
    shape = (batch, *shape, heads)
    out, lse = torch.cat(outs, 1), torch.cat(lses, 1)
    return out.to(query.dtype).reshape(*shape, value.shape[-1]), lse.reshape(shape)
