"""Long convolution: the definition, plain PyTorch.

With x = in_gate * u (zero from lengths[b] on), for channel h and kernel c::

    y[b,c,h,t] = out_gate * ( sum_{s=0..t} k[c,h,s] x[b,h,t-s]
                              + sum_{i>=0} k_rev[c,h,i] x[b,h,t+i+r]  +  D[c,h] x[b,h,t] )

The sums are linear: outside [0, L) x is zero. Both are one circular convolution of a size at which
nothing wraps onto an output. Evaluated in float32 for half inputs.

Source: Simple Hardware-Efficient Long Convolutions for Sequence Modeling, arXiv 2302.06646.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from kernelmill.ops.numerics import sum_dtype


def long_conv_reference(
    u: Tensor,
    k: Tensor,
    D: Tensor | None = None,  # noqa: N803
    k_rev: Tensor | None = None,
    *,
    reverse_offset: int = 1,
    in_gate: Tensor | None = None,
    out_gate: Tensor | None = None,
    lengths: Tensor | None = None,
) -> Tensor:
    """`kernelmill.ops.long_conv` in plain PyTorch, without argument checks."""
    channels = k.reshape(-1, *k.shape[-2:])  # (C, H, Lk)
    y = convolve_reference(
        u,
        channels,
        None if D is None else D.reshape(channels.shape[:2]),
        None if k_rev is None else k_rev.reshape(*channels.shape[:2], k_rev.shape[-1]),
        in_gate,
        None if out_gate is None else out_gate if out_gate.dim() == 4 else out_gate.unsqueeze(1),
        lengths,
        reverse_offset,
    )
    return y if k.dim() == 3 else y.squeeze(1)


def convolve_reference(
    u: Tensor,
    k: Tensor,
    skip: Tensor | None,
    k_rev: Tensor | None,
    in_gate: Tensor | None,
    out_gate: Tensor | None,
    lengths: Tensor | None,
    reverse_offset: int,
) -> Tensor:
    """u, in_gate: (B, H, L); k, k_rev: (C, H, taps); skip: (C, H) -> (B, C, H, L) like out_gate."""
    dtype = sum_dtype(u.dtype)
    length = u.shape[2]
    x = u.to(dtype)
    if in_gate is not None:
        x = x * in_gate.to(dtype)
    if lengths is not None:
        time = torch.arange(length, device=u.device)
        x = x.masked_fill(time >= lengths.view(-1, 1, 1), 0)
    x = x.unsqueeze(1)  # (B, 1, H, L)

    k = k[..., :length].to(dtype)
    if k_rev is not None:
        k_rev = k_rev[..., : max(length - reverse_offset, 0)].to(dtype)
    size = length + max(k.shape[-1], 0 if k_rev is None else k_rev.shape[-1] + reverse_offset)
    kernel = F.pad(k, (0, size - k.shape[-1]))
    if k_rev is not None:  # tap i at lag -(i + reverse_offset), which is there modulo the size
        back = F.pad(k_rev.flip(-1), (size - k_rev.shape[-1], 0))
        kernel = kernel + (back if reverse_offset == 1 else back.roll(1, -1))

    if x.numel():
        spectrum = torch.fft.rfft(x, n=size) * torch.fft.rfft(kernel)
        y = torch.fft.irfft(spectrum, n=size)[..., :length]
    else:  # MKL refuses empty batches
        y = x * kernel[..., :1]
    if skip is not None:
        y = y + skip.to(dtype).unsqueeze(-1) * x
    if out_gate is not None:
        y = y * out_gate.to(dtype)
    return y.to(u.dtype)
