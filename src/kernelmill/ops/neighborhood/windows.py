"""Which keys a query attends: the window rule of one axis of neighborhood attention.

An axis of length L falls into d dilation groups, token i into group ``i % d`` with the group
coordinate ``p = i // d``. Within its group of Lg tokens a query attends one interval:

- not causal: ``left = k // 2``, ``right = k - 1 - left``, the leader of the query's stride group
  ``m = min((p // s) s + s // 2, Lg - 1)``, centre ``w = clamp(m, left, Lg - 1 - right)``, and the
  interval ``[w - left, w + right]``: always k keys, shifted at the borders;
- causal: ``m = min((p // s) s + s - 1, Lg - 1)`` and ``[max(m - k + 1, 0), p]``: clipped.

Both ends never decrease with p, so the queries that attend a key are an interval, too.
Source: arXiv 2504.16922 (strided windows), 2403.04690.
"""

from __future__ import annotations

import torch
from torch import Tensor


def window_bounds(
    length: int, kernel_size: int, stride: int = 1, dilation: int = 1, is_causal: bool = False
) -> tuple[Tensor, Tensor]:
    """First and last key (inclusive) of every query of an axis, in coordinates of its group.

    Args:
        length: L, tokens on the axis. kernel_size, stride, dilation, is_causal: of this axis.

    Returns:
        Two int32 tensors (L,): query i attends the keys ``i % dilation + dilation * r`` with
        ``start[i] <= r <= end[i]``.

    Raises:
        ValueError: ``kernel_size * dilation > length``, ``stride > kernel_size``, or one below 1.

    Example:
        >>> start, end = window_bounds(6, 3)
        >>> start.tolist(), end.tolist()
        ([0, 0, 1, 2, 3, 3], [2, 2, 3, 4, 5, 5])
    """
    for name, value in (
        ("length", length), ("kernel_size", kernel_size), ("stride", stride), ("dilation", dilation)
    ):  # fmt: skip
        if value < 1:
            raise ValueError(f"{name}: got {value}, wanted at least 1")
    if kernel_size * dilation > length:
        raise ValueError(
            f"kernel_size * dilation: got {kernel_size} * {dilation} = {kernel_size * dilation} "
            f"for an axis of {length} tokens"
        )
    if stride > kernel_size:
        raise ValueError(f"stride: got {stride}, wanted at most kernel_size = {kernel_size}")
    bounds = axis_bounds(length, kernel_size, stride, dilation, is_causal)
    return bounds[0], bounds[1]


def axis_bounds(length: int, k: int, s: int, d: int, causal: bool) -> Tensor:
    """`window_bounds` as one tensor (2, L) int32, unchecked."""
    token = torch.arange(length)
    p = token // d
    last = (length - token % d + d - 1) // d - 1  # Lg - 1
    if causal:
        leader = torch.minimum(p // s * s + s - 1, last)
        start, end = (leader - k + 1).clamp(min=0), p
    else:
        left = k // 2
        right = k - 1 - left
        leader = torch.minimum(p // s * s + s // 2, last)
        centre = torch.minimum(leader.clamp(min=left), last - right)
        start, end = centre - left, centre + right
    return torch.stack([start, end]).to(torch.int32)


def query_bounds(start: Tensor, end: Tensor, dilation: int) -> tuple[Tensor, Tensor]:
    """The inverse: first and last query (inclusive) that attend every key of an axis.

    Args:
        start, end: (L,), of `window_bounds`. dilation: of the axis.

    Returns:
        Two int32 tensors (L,), in group coordinates; ``first > last`` where no query attends.

    Example:
        >>> first, last = query_bounds(*window_bounds(6, 3), 1)
        >>> first.tolist(), last.tolist()
        ([0, 0, 0, 2, 3, 4], [1, 2, 3, 5, 5, 5])
    """
    first, last = torch.empty_like(start), torch.empty_like(end)
    for group in range(dilation):
        own_start = start[group::dilation].contiguous()
        own_end = end[group::dilation].contiguous()
        keys = torch.arange(own_start.numel(), dtype=torch.int32, device=start.device)
        first[group::dilation] = torch.searchsorted(own_end, keys, out_int32=True)
        last[group::dilation] = torch.searchsorted(own_start, keys, right=True, out_int32=True) - 1
    return first, last
