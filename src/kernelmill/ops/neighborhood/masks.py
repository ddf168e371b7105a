"""The windows as masks: N x N truth values, and block masks for torch's flex_attention."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from kernelmill.ops.neighborhood.arguments import Window, check_window
from kernelmill.ops.neighborhood.windows import axis_bounds

if TYPE_CHECKING:
    from torch.nn.attention.flex_attention import BlockMask

BLOCK = 128  # tokens of a block on either side, flex_attention's own default


def neighborhood_mask(
    shape: int | Sequence[int], kernel_size, stride=1, dilation=1, is_causal=False, device=None
) -> Tensor:
    """Which tokens attend which, as a bool matrix: for small grids, tests and drawings.

    Args:
        shape: the grid, X or (X, ..) of any rank; N is the product.
        kernel_size, stride, dilation, is_causal: as of `neighborhood_attention`.
        device: of the result.

    Returns:
        (N, N) bool, row-major over the grid: row q, column k is True where q attends k.

    Raises:
        ValueError: window parameters do not fit the grid.

    Example:
        >>> neighborhood_mask(4, 2).int()
        tensor([[1, 1, 0, 0],
                [1, 1, 0, 0],
                [0, 1, 1, 0],
                [0, 0, 1, 1]], dtype=torch.int32)
    """
    shape = _grid(shape)
    window = check_window(shape, kernel_size, stride, dilation, is_causal)
    mask = torch.ones(1, 1, dtype=torch.bool, device=device)
    for n, k, s, d, causal in zip(shape, *window, strict=True):
        start, end = (x.to(device) for x in axis_bounds(n, k, s, d, causal))
        token = torch.arange(n, device=device)
        r = token // d
        own = (token[:, None] % d == token % d) & (r >= start[:, None]) & (r <= end[:, None])
        mask = (mask[:, None, :, None] & own[None, :, None, :]).reshape(
            mask.shape[0] * n, mask.shape[1] * n
        )
    return mask


def neighborhood_block_mask(
    shape: int | Sequence[int], kernel_size, stride=1, dilation=1, is_causal=False, device=None
) -> BlockMask:
    """The windows as a ``BlockMask`` of flex_attention, for tokens flattened row-major.

    Built from the bounds of every axis: work and memory grow with the number of pairs of blocks of
    128 tokens, as the size of the result does, and not with N x N. A block that is marked full is
    full; one that is marked partial may be empty where a block spans several rows of the grid.

    Args:
        shape, kernel_size, stride, dilation, is_causal, device: as of `neighborhood_mask`.

    Returns:
        ``torch.nn.attention.flex_attention.BlockMask`` for any batch and number of heads.

    Raises:
        ValueError: window parameters do not fit the grid.

    Example:
        >>> neighborhood_block_mask((32, 32), (5, 7)).shape
        (1, 1, 1024, 1024)
    """
    shape = _grid(shape)
    window = check_window(shape, kernel_size, stride, dilation, is_causal)
    return block_mask(shape, window, 0, device)


def block_mask(shape: tuple[int, ...], window: Window, extra: int, device) -> BlockMask:
    """`neighborhood_block_mask` with ``extra`` keys behind the grid's that everyone attends."""
    from torch.nn.attention.flex_attention import BlockMask

    tokens = torch.Size(shape).numel()
    bounds = [
        tuple(x.to(device) for x in axis_bounds(n, k, s, d, causal))
        for n, k, s, d, causal in zip(shape, *window, strict=True)
    ]
    touched, full = _blocks(shape, window.dilation, bounds, device)
    blocks = -(-(tokens + extra) // BLOCK)
    if extra:
        more = (0, blocks - full.shape[1])
        touched = torch.nn.functional.pad(touched, more)
        full = torch.nn.functional.pad(full, more)
        touched[:, tokens // BLOCK :] = True
        full[:, tokens // BLOCK :] = False
        full[: tokens // BLOCK, -(-tokens // BLOCK) : (tokens + extra) // BLOCK] = True
    partial = touched & ~full
    lists = (*_listed(partial), *_listed(full))
    return BlockMask.from_kv_blocks(
        *(x[None, None] for x in lists),
        BLOCK_SIZE=BLOCK,
        mask_mod=mask_mod(shape, window.dilation, bounds, extra > 0),
        seq_lengths=(tokens, tokens + extra),
    )


def mask_mod(
    shape: tuple[int, ...], dilation: tuple[int, ...], bounds, extra: bool = False
) -> Callable[..., Tensor]:
    """flex_attention's function of (batch, head, query, key) for tokens flattened row-major."""
    tokens = torch.Size(shape).numel()

    def attends(batch, head, query, key):
        own, other, found = query, key, None
        for n, d, (start, end) in zip(
            reversed(shape), reversed(dilation), reversed(bounds), strict=True
        ):
            q, k = own % n, other % n
            own, other = own // n, other // n
            r = k // d
            inside = (r >= start[q]) & (r <= end[q])
            if d > 1:
                inside = inside & (q % d == k % d)
            found = inside if found is None else found & inside
        return found | (key >= tokens) if extra else found

    return attends


def _grid(shape: int | Sequence[int]) -> tuple[int, ...]:
    shape = (shape,) if isinstance(shape, int) else tuple(shape)
    if not shape or any(n < 1 for n in shape):
        raise ValueError(f"shape: got {shape}, wanted one or more axes of at least one token")
    return shape


def _blocks(shape, dilation, bounds, device) -> tuple[Tensor, Tensor]:
    """Which pairs of blocks touch, and which attend throughout: (blocks, blocks) bool each.

    A block of tokens lies in a box of the grid; the boxes are judged axis by axis.
    """
    tokens = torch.Size(shape).numel()
    first = torch.arange(0, tokens, BLOCK, device=device)
    last = (first + BLOCK - 1).clamp(max=tokens - 1)
    whole = (first + BLOCK <= tokens)[:, None]
    touched = torch.ones(first.numel(), first.numel(), dtype=torch.bool, device=device)
    full = whole & whole.T  # as in create_block_mask, one that hangs over is never full
    inner = tokens
    for n, d, (start, end) in zip(shape, dilation, bounds, strict=True):
        inner //= n
        low, high = first // inner, last // inner
        wraps = low // n != high // n  # reaches into the next row: all of the axis
        low, high = torch.where(wraps, 0, low % n), torch.where(wraps, n - 1, high % n)
        touched &= _touch(low, high, d, start, end)
        inside = (start[high][:, None] <= low // d) & (high // d <= end[low][:, None])
        if d > 1:
            single = low == high
            inside &= single[:, None] & single & (low[:, None] % d == low % d)
        full &= inside
    return touched, full


def _touch(low: Tensor, high: Tensor, d: int, start: Tensor, end: Tensor) -> Tensor:
    """Whether a query in [low[i], high[i]] attends a key in [low[j], high[j]], on one axis."""
    found = torch.zeros(low.numel(), low.numel(), dtype=torch.bool, device=low.device)
    for step in range(min(d, start.numel(), BLOCK)):
        query = torch.minimum(low + step, high)  # its dilation group's first in the range
        group = query % d
        top = query + (high - query) // d * d  # and last; their windows leave no gap
        r_low = torch.maximum(-((group[:, None] - low) // d), start[query][:, None])
        r_high = torch.minimum((high - group[:, None]) // d, end[top][:, None])
        found |= r_low <= r_high
    return found


def _listed(blocks: Tensor) -> tuple[Tensor, Tensor]:
    """Count (rows,) and indices (rows, columns) of the marked columns, marked ones first."""
    order = torch.argsort(blocks.int(), dim=-1, descending=True, stable=True)
    return blocks.sum(-1, dtype=torch.int32), order.to(torch.int32)
