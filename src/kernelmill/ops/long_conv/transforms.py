"""What keeps a long kernel smooth: soft threshold (squash) and moving averages (smooth)."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

GRADIENTS = ("straight_through", "hard")
DOMAINS = ("time", "freq")


def squash(k: Tensor, lam: float, grad: str = "straight_through") -> Tensor:
    """Soft threshold: taps become sparse and small.

    ``squash(k) = sign(k) max(|k| - lam, 0)``

    Args:
        k: taps, any shape, floating point.
        lam: threshold, in [0, inf). 0 is the identity.
        grad: ``"straight_through"``: the gradient passes everywhere. ``"hard"``: the published
            one, zero where ``|k| <= lam``; without weight decay such a tap never moves again.

    Returns:
        Like ``k``.

    Raises:
        TypeError: ``k`` is not floating point. ValueError: ``lam`` or ``grad`` is out of range.

    Source: arXiv 2302.06646, section 3.2; the straight-through gradient is ours.

    Example:
        >>> import torch
        >>> squash(torch.tensor([-0.5, 0.1, 0.3]), 0.25).round(decimals=2)
        tensor([-0.2500,  0.0000,  0.0500])
    """
    _taps(k)
    _threshold("lam", lam)
    if grad not in GRADIENTS:
        raise ValueError(f"grad: got {grad!r}, wanted one of {', '.join(GRADIENTS)}")
    # k - clamp(k) is the soft threshold bit for bit, and has its gradient (0 at |k| = lam)
    inside = k if grad == "hard" else k.detach()
    return k - inside.clamp(-lam, lam)


@torch.no_grad()
def prox_squash_(param: Tensor, amount: float) -> Tensor:
    """Soft threshold in place, after an optimizer's step: the proximal form of squash.

    ``param <- sign(param) max(|param| - amount, 0)``. With ``amount = lam * lr`` this minimises
    loss + lam |param|_1 (proximal gradient); the forward pass then needs no squash (lam = 0), and
    a tap at zero still gets its gradient.

    Args:
        param: changed in place. amount: in [0, inf).

    Returns:
        ``param``.

    Raises:
        TypeError: ``param`` is not floating point. ValueError: ``amount`` is out of range.

    Example:
        >>> import torch
        >>> prox_squash_(torch.tensor([-0.5, 0.125]), 0.25)
        tensor([-0.2500,  0.0000])
    """
    _taps(param, "param")
    _threshold("amount", amount)
    return param.sub_(param.clamp(-amount, amount))


def smooth_kernel(k: Tensor, width: int, domain: str = "time") -> Tensor:
    """Smooth every kernel along its taps or along its spectrum.

    ``"time"``: the mean of ``width`` neighbours; what is outside counts as zero, so taps at the
    ends shrink. ``"freq"``: neighbours in the spectrum ``rfft(k)`` are added up with weights
    ``exp(-(i - width // 2)^2 / 2)``, not normalised, zero outside.

    Args:
        k: (..., L), taps last, floating point.
        width: odd, at least 1 (1 changes nothing).
        domain: ``"time"`` or ``"freq"``.

    Returns:
        Like ``k``.

    Raises:
        TypeError: ``k`` is not floating point. ValueError: ``width`` is even or below 1,
            ``domain`` is unknown, ``k`` has no taps.

    Source: arXiv 2302.06646, section 3.2 (time), and the published code (freq).

    Example:
        >>> import torch
        >>> smooth_kernel(torch.tensor([3.0, 3.0, 3.0, 3.0]), 3)
        tensor([2., 3., 3., 2.])
    """
    _taps(k)
    if k.dim() < 1 or k.shape[-1] < 1:
        raise ValueError(f"k: got shape {tuple(k.shape)}, wanted (..., L) with L >= 1")
    if not isinstance(width, int) or width < 1 or width % 2 == 0:
        raise ValueError(f"width: got {width}, wanted an odd number of at least 1")
    if domain not in DOMAINS:
        raise ValueError(f"domain: got {domain!r}, wanted one of {', '.join(DOMAINS)}")
    if width == 1:
        return k
    if domain == "time":
        return F.avg_pool1d(k.reshape(-1, 1, k.shape[-1]), width, 1, width // 2).view(k.shape)
    wide = k if k.dtype == torch.float64 else k.float()
    spectrum, half = torch.fft.rfft(wide), width // 2
    padded = F.pad(spectrum, (half, half))
    total = sum(
        math.exp(-0.5 * (i - half) ** 2) * padded[..., i : i + spectrum.shape[-1]]
        for i in range(width)
    )
    return torch.fft.irfft(total, n=k.shape[-1]).to(k.dtype)


def _taps(k: Tensor, name: str = "k") -> None:
    if not isinstance(k, Tensor) or not k.is_floating_point():
        got = k.dtype if isinstance(k, Tensor) else type(k).__name__
        raise TypeError(f"{name}: got {got}, wanted a floating-point tensor")


def _threshold(name: str, value: float) -> None:
    if not 0 <= value < float("inf"):
        raise ValueError(f"{name}: got {value}, wanted a number in [0, inf)")
