"""Fourier transform by blocks (butterfly, Monarch): matrices of size m, twiddle factors, and again.

N = m n, input index a n + b, output index c m + p (a, p < m; b, c < n)::

    X[c m + p] = sum_b w_n^(b c) w_N^(b p) sum_a w_m^(a p) x[a n + b],    w_N = exp(-2 pi i / N)

The two sums are products with matrices; the one of size n is done the same way while n > max_m.

Source: arXiv 2302.06646, section 4.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from kernelmill.ops.numerics import next_power_of_two

HALF = (torch.float16, torch.bfloat16)


def dft_matrix(size: int, dtype: torch.dtype = torch.complex64, device=None) -> Tensor:
    """``exp(-2 pi i j k / size)``, (size, size), rounded from float64."""
    return _roots(size, size, size, dtype, device)


def butterfly_fft(
    x: Tensor,
    n: int | None = None,
    matrix: Callable[[int], Tensor] | None = None,
    max_m: int = 16,
) -> Tensor:
    """The Fourier transform as products with small matrices, which may be other matrices.

    Args:
        x: (..., L), real or complex. For matrices per head: (..., heads, L).
        n: size of the transform; ``x`` is padded with zeros, or cropped, to it. Rounded up to a
            power of two. Default: L.
        matrix: ``matrix(m)`` for m = 2, 4, ..., max_m: complex, (m, m) or (heads, m, m). Default:
            the Fourier matrices, with which this is `torch.fft.fft`.
        max_m: largest matrix, a power of two.

    Returns:
        (..., N), complex; N is the power of two.

    Raises:
        ValueError: ``max_m`` is not a power of two of at least 2, or ``n`` is below 1.

    Source: arXiv 2302.06646, section 4.

    Example:
        >>> import torch
        >>> x = torch.randn(3, 100)
        >>> torch.allclose(butterfly_fft(x, 128), torch.fft.fft(x, 128), atol=1e-4)
        True
    """
    size = x.shape[-1] if n is None else n
    if size < 1:
        raise ValueError(f"n: got {size}, wanted at least 1")
    if max_m < 2 or max_m & (max_m - 1):
        raise ValueError(f"max_m: got {max_m}, wanted a power of two of at least 2")
    x = x.float() if x.dtype in HALF or not (x.is_floating_point() or x.is_complex()) else x
    dtype = torch.promote_types(x.dtype, torch.complex64)
    total = next_power_of_two(size)
    x = F.pad(x[..., :size], (0, total - min(x.shape[-1], size))).to(dtype)
    if total == 1:
        return x
    if matrix is None:

        def matrix(m: int) -> Tensor:
            return dft_matrix(m, dtype, x.device)

    return _transform(x.unsqueeze(-1), matrix, max_m).squeeze(-1)


def _transform(x: Tensor, matrix: Callable[[int], Tensor], max_m: int) -> Tensor:
    """Along the last but one dimension of x: (..., N, columns)."""
    total, columns = x.shape[-2:]
    if total <= max_m:
        return matrix(total) @ x
    m, n = max_m, total // max_m
    x = x.unflatten(-2, (m, n))
    x = (matrix(m) @ x.flatten(-2)).unflatten(-1, (n, columns))  # (..., p, b, columns)
    x = x * _roots(m, n, total, x.dtype, x.device).unsqueeze(-1)
    x = x.transpose(-3, -2).flatten(-2)  # (..., b, p columns)
    return _transform(x, matrix, max_m).unflatten(-1, (m, columns)).flatten(-3, -2)


def _roots(rows: int, columns: int, size: int, dtype: torch.dtype, device) -> Tensor:
    """``exp(-2 pi i r c / size)`` with float64 angles in [0, 2 pi)."""
    index = torch.arange(rows, device=device)[:, None] * torch.arange(columns, device=device)
    angle = (index % size).to(torch.float64) * (-2 * math.pi / size)
    return torch.polar(torch.ones_like(angle), angle).to(dtype)
