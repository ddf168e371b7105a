"""Generalised-mean pooling: the definition, plain PyTorch.

For channel c of group g(c) = floor(c G / C), over the N pooled positions::

    y_c = ( (1/N) sum_n z_nc^p_g )^(1/p_g),      z = max(x, eps)

evaluated in the log domain (x^p leaves float32 for x = 20, p = 30), in float32 for half inputs.
Other treatments of negative activations: ``abs`` z = max(|x|, eps); ``signed``: the mean of
sgn(x) z^p and its signed root, with |y| >= eps; ``shift``: the channel's minimum is subtracted
before and added after.

Source: GGeM, arXiv 2212.04114; GeM, arXiv 1711.02512. eps and all but ``clamp`` are ours.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from kernelmill.ops.numerics import sum_dtype


def gem_reference(
    x: Tensor,
    p: Tensor | float,
    groups: int = 1,
    eps: float = 1e-6,
    negative: str = "clamp",
    mask: Tensor | None = None,
    dim: int | tuple[int, ...] | None = None,
) -> Tensor:
    """`kernelmill.ops.gem` in plain PyTorch, without argument checks."""
    pooled = _pooled_dims(x.dim(), dim)
    if 1 in pooled:  # channels last: (B, *pooled, C)
        tokens = x.flatten(1, -2)
    else:  # channels first: (B, C, *pooled)
        tokens = x.flatten(2).transpose(1, 2)
    if mask is not None:
        mask = mask.reshape(tokens.shape[:2])
    p = torch.as_tensor(p, dtype=torch.float32 if x.dtype != torch.float64 else x.dtype,
                        device=x.device).reshape(-1)  # fmt: skip
    return tokens_reference(tokens, p.expand(groups), mask, eps, negative)


def tokens_reference(
    x: Tensor, p: Tensor, mask: Tensor | None, eps: float, negative: str
) -> Tensor:
    """The definition for x: (B, N, C), p: (G,), mask: (B, N) bool -> (B, C)."""
    dtype = sum_dtype(x.dtype)
    z = x.to(dtype)
    p = p.to(dtype).repeat_interleave(x.shape[2] // p.numel())  # (C,)
    if mask is None:
        keep, count = None, x.shape[1]
    else:
        keep = mask.unsqueeze(2)  # (B, N, 1)
        count = keep.sum(1)  # (B, 1)

    if negative == "shift":
        low = _dropped(z, keep, math.inf).amin(1)
        z = z - low.unsqueeze(1)
    sign = torch.where(z < 0, -1.0, 1.0) if negative == "signed" else None
    if negative in ("abs", "signed"):
        z = z.abs()
    t = z.clamp(min=eps).log()  # (B, N, C)

    if sign is not None:
        return _signed(t, sign, p, keep, count, eps).to(x.dtype)
    y = _log_power_mean(t, p, keep, count).exp()
    if negative == "shift":
        y = y + low
    return y.to(x.dtype)


def _dropped(z: Tensor, keep: Tensor | None, value: float) -> Tensor:
    return z if keep is None else z.masked_fill(~keep, value)


def _log_power_mean(t: Tensor, p: Tensor, keep: Tensor | None, count: Tensor | int) -> Tensor:
    """log of the power mean of exp(t) over dimension 1: c + log(mean exp(p (t - c))) / p.

    c is the largest t (the smallest for p < 0): nothing overflows.
    Near p = 0 that loses p's leading digits: sums are then taken around the mean of t, and next
    to 0 it is the series mean + p k2 / 2 + p^2 k3 / 6 in the cumulants of t.
    """
    tiny = p.abs() < (1e-4 if t.dtype == torch.float64 else 2e-3)
    small = p.abs() < 0.1
    q = p.masked_fill(tiny, 1.0)
    top = _dropped((q * t).detach(), keep, -math.inf).amax(1) / q  # the term that dominates
    e = _dropped((q * (t - top.unsqueeze(1))).exp(), keep, 0.0)
    far = (top + (e.sum(1) / count).log() / q).where(top != math.inf, top)

    mean = _dropped(t, keep, 0.0).sum(1) / count
    d = _dropped(t - mean.unsqueeze(1), keep, 0.0).masked_fill(~small, 0.0)
    near = mean + torch.log1p(torch.expm1(q * d * ~tiny).sum(1) / count) / q
    k2, k3 = d.square().sum(1) / count, (d * d * d).sum(1) / count
    limit = mean + p * k2 / 2 + p.square() * k3 / 6
    return torch.where(tiny, limit, torch.where(small, near, far))


def _signed(
    t: Tensor, sign: Tensor, p: Tensor, keep: Tensor | None, count: Tensor | int, eps: float
) -> Tensor:
    u = p * t
    top = _dropped(u.detach(), keep, -math.inf).amax(1)
    s = _dropped(sign * (u - top.unsqueeze(1)).exp(), keep, 0.0).sum(1) / count
    root = (top + s.abs().masked_fill(s == 0, 1.0).log()) / p
    return s.sign() * root.clamp(min=math.log(eps)).exp()


def _pooled_dims(rank: int, dim: int | tuple[int, ...] | None) -> tuple[int, ...]:
    if dim is None:
        return (1,) if rank == 3 else tuple(range(2, rank))
    dims = (dim,) if isinstance(dim, int) else tuple(dim)
    return tuple(sorted(d % rank for d in dims))
