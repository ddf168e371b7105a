"""Transform sizes of the CPU kernels, and how a long row is cut into blocks."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

_UNIT = 64  # of a transform's parts: what the widest kernels do in registers
FEW_TAPS = 48  # up to here the sum itself is faster; the kernels have room for 64


class Plan(NamedTuple):
    """A transform of ``size`` complex numbers, ``radix`` parts of 64 times a power of two.

    ``whole``: it holds the row (size >= L). Otherwise each transform takes a window of 2 size
    inputs and gives ``step`` outputs. Size 0: no transform, the sum itself.
    """

    size: int
    radix: int
    whole: bool
    step: int


def _sizes() -> Iterator[tuple[int, int]]:
    """(size, radix) in rising order: 64, 128, 192, 256, 320, 384, 448, 512, 640, ..."""
    yield from ((radix * _UNIT, radix) for radix in (1, 2, 3))
    unit = _UNIT
    while True:
        yield from ((radix * unit, radix) for radix in (4, 5, 6, 7))
        unit *= 2


def _cost(size: int, radix: int, whole: bool) -> float:
    """Relative time of a transform there and back, fitted to times on a Zen 5 (AVX-512)."""
    time = size * (math.log2(size) + 20 + 0.7 * radix) + 1000
    return time if whole else 1.16 * time


@lru_cache(maxsize=4096)
def plan(length: int, taps: int, reach: int) -> Plan:
    """The cheapest plan for kernels that look back over ``taps`` positions and ahead by ``reach``.

    Example:
        >>> plan(4096, 4096, 0)
        Plan(size=4096, radix=4, whole=True, step=4096)
    """
    margin = taps - 1 + reach
    if margin < FEW_TAPS:
        return Plan(0, 1, False, length)
    best, least = None, math.inf
    for size, radix in _sizes():
        if 2 * size > margin + 15:
            step = min(length, 2 * size - margin)
            step -= step % 16 if step < length else 0
            cost = -(-length // step) * _cost(size, radix, False)
            if cost < least:
                best, least = Plan(size, radix, False, step), cost
        if size >= length:
            cost = _cost(size, radix, True)
            if cost < least:
                best, least = Plan(size, radix, True, length), cost
            if size >= 2 * length:
                break
    return best
