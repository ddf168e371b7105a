"""What all functions of the family ask of their arguments."""

from __future__ import annotations

import torch
from torch import Tensor

from kernelmill.ops.numerics import FLOATS, sum_dtype

MASSES = ("bias", "value", "none")


def check_cache(name: str, x: Tensor) -> None:
    """A floating-point tensor (B, H, T, d)?"""
    if not isinstance(x, Tensor) or x.dtype not in FLOATS:
        got = x.dtype if isinstance(x, Tensor) else type(x).__name__
        raise TypeError(f"{name}: got {got}, wanted a float32, float64, float16 or bfloat16 tensor")
    if x.dim() != 4:
        raise ValueError(f"{name}: got shape {tuple(x.shape)}, wanted (B, H, T, d)")


def check_mass(mass: str) -> None:
    if mass not in MASSES:
        raise ValueError(f"mass: got {mass!r}, wanted one of {', '.join(MASSES)}")


def wide(x: Tensor) -> Tensor:
    """In the dtype that sums are taken in."""
    return x.to(sum_dtype(x.dtype))


def without_autocast(x: Tensor) -> torch.autocast:
    """What is written as float32 stays float32, whatever the caller asks of his own layers."""
    return torch.autocast("cpu" if x.device.type == "meta" else x.device.type, enabled=False)
