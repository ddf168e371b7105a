"""Dtypes and sizes that all families agree on."""

from __future__ import annotations

import torch

FLOATS = (torch.float32, torch.float64, torch.float16, torch.bfloat16)


def sum_dtype(dtype: torch.dtype) -> torch.dtype:
    """What sums are taken in: float64 stays, all else is float32."""
    return torch.float64 if dtype == torch.float64 else torch.float32


def next_power_of_two(size: int) -> int:
    """The smallest power of two that is at least ``size`` (and 1)."""
    return 1 << max(size - 1, 0).bit_length()
