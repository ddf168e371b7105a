"""Products over windows as dense matrix products of tiles of queries with boxes of keys.

A tile of neighbouring queries attends a box of keys little larger than a window. The three products
of attention are then batched matrix products of tiles with boxes, whose results (or factors) are
the logits (or weights) of the windows after (or before) they are picked out of (put into) the
tiles. Everything that is picked is picked by tables of single axes, every place is written at most
once, and sums are made in a fixed order: the same result on every run.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from kernelmill.ops.neighborhood.windows import axis_bounds

_QUERIES = {1: (64,), 2: (8, 8), 3: (4, 4, 4)}  # of a tile
_CHUNK = 1 << 22  # elements of dense products at a time


class Axis(NamedTuple):
    """One axis cut into tiles; dilation groups follow one another."""

    tiles: int
    size: int  # queries of a tile
    width: int  # keys of a box
    query: Tensor  # (tiles * size,) token of every place; places too many repeat a token
    key: Tensor  # (tiles * width,) likewise
    place: Tensor  # (n,) where a token is among the queries
    slot: Tensor  # (n, k) which key of its tile's box is a token's neighbour
    fold: tuple[tuple[Tensor, Tensor], ...]  # (tokens, where they are among the keys), in turn


class Tiling(NamedTuple):
    axes: tuple[Axis, ...]
    index: Tensor  # (N * K,) of the neighbours of every token, in tiles x queries x keys


@lru_cache(maxsize=64)
def _axis(n: int, k: int, s: int, d: int, causal: bool, size: int, device) -> Axis:
    size = min(size, -(-n // d))
    start = axis_bounds(n, k, s, d, causal)[0].long()
    queries, keys, places, slots = [], [], torch.empty(n, dtype=torch.long), []
    firsts, lasts, ends = [], [], []  # of tiles, in group coordinates
    for group in range(d):
        length = -(-(n - group) // d)
        first = torch.arange(0, length, size)
        firsts.append(first)
        lasts.append((first + size - 1).clamp(max=length - 1))
        ends.append(torch.full_like(first, length - 1))
    group = torch.repeat_interleave(torch.arange(d), torch.tensor([len(x) for x in firsts]))
    first, last, end = torch.cat(firsts), torch.cat(lasts), torch.cat(ends)
    box = start[first * d + group]
    width = int((start[last * d + group] - box).max()) + k
    p = first[:, None] + torch.arange(size)
    queries = torch.minimum(p, last[:, None]) * d + group[:, None]
    there = p <= last[:, None]
    places[queries[there]] = torch.arange(queries.numel()).view_as(queries)[there]
    r = box[:, None] + torch.arange(width)
    inside = r <= end[:, None]
    keys = torch.minimum(r, end[:, None]) * d + group[:, None]
    slots = (start - box[places // size])[:, None] + torch.arange(k)
    return Axis(
        len(first), size, width, *(
            x.to(device) for x in (queries.flatten(), keys.flatten(), places, slots)
        ), tuple((x.to(device), y.to(device)) for x, y in _fold(keys.flatten(), inside.flatten())),
    )  # fmt: skip


def _fold(token: Tensor, counts: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """The places of every token: first ones of all tokens, then second ones, and so on."""
    place = torch.nonzero(counts).flatten()
    order = torch.argsort(token[place], stable=True)
    token, place = token[place][order], place[order]
    first = torch.searchsorted(token, token)
    turn = torch.arange(len(token)) - first
    for i in range(int(turn.max()) + 1):
        yield token[turn == i], place[turn == i]


@lru_cache(maxsize=16)
def tiling(
    shape: tuple[int, ...], kernel_size: tuple[int, ...], stride: tuple[int, ...],
    dilation: tuple[int, ...], is_causal: tuple[bool, ...], device: torch.device,
) -> Tiling:  # fmt: skip
    sizes = _QUERIES[len(shape)]
    axes = tuple(
        _axis(*one, device)
        for one in zip(shape, kernel_size, stride, dilation, is_causal, sizes, strict=True)
    )
    index = torch.zeros((), dtype=torch.long, device=device)
    rank, steps, step = len(axes), {}, 1
    for part in ("width", "size", "tiles"):
        for i in reversed(range(rank)):
            steps[part, i] = step
            step *= getattr(axes[i], part)
    for i, axis in enumerate(axes):
        at = axis.place // axis.size * steps["tiles", i]
        at = at + axis.place % axis.size * steps["size", i]
        at = at[:, None] + axis.slot * steps["width", i]
        own = [1] * (2 * rank)
        own[i], own[rank + i] = at.shape
        index = index + at.view(own)
    return Tiling(axes, index.flatten())


def products(query: Tensor, key: Tensor, tiling: Tiling) -> Tensor:
    """``out[m, p, j] = query[m, p] . key[m, neighbour j of p]``: (M, X.., D) twice -> (M, N, K)."""
    tokens = query.shape[1:-1].numel()
    out = query.new_empty(query.shape[0], tokens, tiling.index.numel() // tokens)
    for chunk in _chunks(query.shape[0], tiling):
        dense = torch.bmm(_queries(query[chunk], tiling), _keys(key[chunk], tiling).mT)
        dense = dense.view(out[chunk].shape[0], -1)
        torch.index_select(dense, 1, tiling.index, out=out[chunk].view(dense.shape[0], -1))
    return out


def weighted(weights: Tensor, value: Tensor, tiling: Tiling) -> Tensor:
    """``out[m, p] = sum_j weights[m, p, j] value[m, neighbour j of p]`` -> (M, X.., D)."""
    out = torch.empty_like(value, memory_format=torch.contiguous_format)
    for chunk in _chunks(value.shape[0], tiling):
        x = torch.bmm(_dense(weights[chunk], tiling), _keys(value[chunk], tiling))
        x = _lines(x, [(axis.tiles, axis.size) for axis in tiling.axes])
        for i, axis in enumerate(tiling.axes):
            x = x.index_select(1 + i, axis.place)
        out[chunk] = x
    return out


def scattered(weights: Tensor, query: Tensor, tiling: Tiling) -> Tensor:
    """``out[m, r] = sum of weights[m, p, j] query[m, p]`` where r is neighbour j of p."""
    out = torch.empty_like(query, memory_format=torch.contiguous_format)
    for chunk in _chunks(query.shape[0], tiling):
        x = torch.bmm(_dense(weights[chunk], tiling).mT, _queries(query[chunk], tiling))
        x = _lines(x, [(axis.tiles, axis.width) for axis in tiling.axes])
        for i, axis in enumerate(tiling.axes):
            (_, place), *more = axis.fold  # every token is in a box
            found = x.index_select(1 + i, place)
            for token, place in more:  # tokens are distinct: no order of sums to be chosen
                found.index_add_(1 + i, token, x.index_select(1 + i, place))
            x = found
        out[chunk] = x
    return out


def _chunks(count: int, tiling: Tiling) -> Iterator[slice]:
    size = 1
    for axis in tiling.axes:
        size *= axis.tiles * axis.size * axis.width
    step = max(1, _CHUNK // size)
    return (slice(i, i + step) for i in range(0, count, step))


def _dense(weights: Tensor, tiling: Tiling) -> Tensor:
    """(m, N, K) put into tiles: (m * tiles, queries, keys)."""
    tiles, queries, keys = (_product(tiling, part) for part in ("tiles", "size", "width"))
    dense = weights.new_zeros(weights.shape[0], tiles * queries * keys)
    dense.index_copy_(1, tiling.index, weights.flatten(1))
    return dense.view(-1, queries, keys)


def _queries(x: Tensor, tiling: Tiling) -> Tensor:
    return _boxes(x, [(axis.query, axis.tiles, axis.size) for axis in tiling.axes])


def _keys(x: Tensor, tiling: Tiling) -> Tensor:
    return _boxes(x, [(axis.key, axis.tiles, axis.width) for axis in tiling.axes])


def _boxes(x: Tensor, parts: Sequence[tuple[Tensor, int, int]]) -> Tensor:
    """(m, X.., D) cut along every axis: (m * tiles, tokens of a box, D)."""
    shape, size = [x.shape[0]], 1
    for i, (token, tiles, length) in enumerate(parts):
        x = x.index_select(1 + i, token)
        shape += [tiles, length]
        size *= length
    rank = len(parts)
    order = [0, *range(1, 2 * rank, 2), *range(2, 2 * rank + 1, 2), 2 * rank + 1]
    return x.view(*shape, x.shape[-1]).permute(order).reshape(-1, size, x.shape[-1])


def _lines(x: Tensor, parts: Sequence[tuple[int, int]]) -> Tensor:
    """The inverse: (m * tiles, tokens of a box, D) -> (m, tiles x length, .., D)."""
    tiles, lengths = zip(*parts, strict=True)
    rank = len(parts)
    x = x.view(-1, *tiles, *lengths, x.shape[-1])
    order = [0, *(i for a in range(rank) for i in (1 + a, 1 + rank + a)), 2 * rank + 1]
    x = x.permute(order)
    return x.reshape(x.shape[0], *(t * n for t, n in parts), x.shape[-1])


def _product(tiling: Tiling, part: str) -> int:
    found = 1
    for axis in tiling.axes:
        found *= getattr(axis, part)
    return found
