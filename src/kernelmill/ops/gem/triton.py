"""Generalised-mean pooling in Triton: one sweep with running sums, fp32 throughout.

Forward: a program takes BLOCK_C channels of one sample and walks over the positions with a running
maximum of u = p log2 z, as online softmax does. Backward: one program per tile.
"""

from __future__ import annotations

import torch
from torch import Tensor

from kernelmill.ops.gem.cpu import check_saved
from kernelmill.ops.kernel_call import unfit
from kernelmill.ops.numerics import next_power_of_two

_MODES = {"clamp": 0, "abs": 1, "signed": 2}
_kernels = None


def fits(x, p, mask, eps, negative, save) -> str | None:
    return unfit("triton", "x", x)


def _load():
    """Import Triton only when it is needed."""
    global _kernels
    if _kernels is None:
        from kernelmill.ops.gem import triton_kernels

        _kernels = triton_kernels
    return _kernels


def _blocks(x: Tensor) -> tuple[int, int]:
    """BLOCK_N, BLOCK_C: the contiguous dimension gets the wide side."""
    count, channels = x.shape[1:]
    if x.stride(2) == 1:
        return min(32, next_power_of_two(count)), min(64, next_power_of_two(channels))
    return min(128, next_power_of_two(count)), min(16, next_power_of_two(channels))


def _mask(mask: Tensor | None, x: Tensor) -> Tensor:
    return x if mask is None else mask.contiguous().view(torch.uint8)


def forward(x, p, mask, eps, negative, save):
    batch, count, channels = x.shape
    y = x.new_empty((batch, channels))
    half = x.dtype is not torch.float32
    wide = x.new_empty((batch, channels) if half else (0,), dtype=torch.float32)
    slope = x.new_empty((batch, channels) if save else (0,), dtype=torch.float32)
    if y.numel():
        block_n, block_c = _blocks(x)
        grid = (batch * -(-channels // block_c),)
        _load().gem_forward[grid](
            x, p.contiguous(), _mask(mask, x), y, wide, slope, eps, count, channels, p.numel(),
            *x.stride(), HAS_MASK=mask is not None, MODE=_MODES[negative], SAVE=save, WIDE=half,
            BLOCK_N=block_n, BLOCK_C=block_c,
        )  # fmt: skip
    return y, wide, slope


def backward(needs, grads, args, results):
    x, p, mask, eps, negative, save = args
    y, wide, slope = results
    grad = grads[0].contiguous()
    batch, count, channels = x.shape
    grad_x = grad_p = None
    if needs[0]:
        grad_x = torch.empty_like(x)
        if x.numel():
            block_n, block_c = _blocks(x)
            grid = (batch * -(-channels // block_c), -(-count // block_n))
            kept = x if mask is None else mask.sum(1, dtype=torch.int32)
            _load().gem_backward[grid](
                grad, x, p.contiguous(), _mask(mask, x), kept,
                y if x.dtype is torch.float32 else wide, grad_x, eps, count, channels, p.numel(),
                *x.stride(), *grad_x.stride(), HAS_MASK=mask is not None, MODE=_MODES[negative],
                BLOCK_N=block_n, BLOCK_C=block_c,
            )  # fmt: skip
    if needs[1]:
        check_saved(slope, y)
        by_group = (grad.float() * slope).view(batch, p.numel(), channels // p.numel())
        grad_p = by_group.sum((0, 2)).to(p.dtype)
    return grad_x, grad_p
