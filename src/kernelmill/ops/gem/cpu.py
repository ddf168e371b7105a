"""Generalised-mean pooling on CPUs: `csrc/gem.cpp` through ctypes."""

from __future__ import annotations

import ctypes

import torch
from torch import Tensor

from kernelmill.ops.kernel_call import DTYPES, pointer, unfit
from kernelmill.ops.native import native

_MODES = {"clamp": 0, "abs": 1, "signed": 2}
_P, _I, _F = ctypes.c_void_p, ctypes.c_int, ctypes.c_float
_FORWARD = (_P, _P, _P, _P, _P, _F, _I, _I, _P, _P, _P, _I)
_BACKWARD = (_P, _P, _P, _P, _P, _P, _F, _I, _I, _P, _P, _P, _I)
_GRAD_P = (_P, _I, _P, ctypes.c_int64, ctypes.c_int64, ctypes.c_int64, _P)
_Sizes, _Strides = ctypes.c_int64 * 4, ctypes.c_int64 * 3


def fits(x, p, mask, eps, negative, save) -> str | None:
    return unfit("cpu", "x", x)


def _layout(x: Tensor, mask: Tensor | None) -> Tensor:
    """x, copied only if neither channels nor (unmasked) positions are contiguous."""
    if x.stride(2) == 1 or x.shape[2] == 1 and x.is_contiguous():
        return x
    return x if x.stride(1) == 1 and mask is None else x.contiguous()


def _strides(x: Tensor) -> ctypes.Array:
    # PyTorch leaves the stride of a dimension of size 1 open; the kernel reads stride_c.
    return _Strides(*x.stride()[:2], 1 if x.shape[2] == 1 and x.is_contiguous() else x.stride(2))


def forward(x, p, mask, eps, negative, save):
    batch, count, channels = x.shape
    y = torch.empty((batch, channels), dtype=x.dtype)
    half = x.dtype is not torch.float32
    wide = torch.empty((batch, channels) if half else (0,), dtype=torch.float32)
    slope = torch.empty((batch, channels) if save else (0,), dtype=torch.float32)
    x = _layout(x, mask)
    mask = None if mask is None else mask.contiguous()
    p = p.to(torch.float32).contiguous()
    code = native().function("gem_forward", _FORWARD)(
        x.data_ptr(), _Sizes(batch, count, channels, p.numel()), _strides(x), pointer(mask),
        p.data_ptr(), eps, DTYPES[x.dtype], _MODES[negative], y.data_ptr(),
        wide.data_ptr() if half else None, slope.data_ptr() if save else None,
        torch.get_num_threads(),
    )  # fmt: skip
    if code:
        from kernelmill.ops.gem.op import check_values

        check_values(p, mask, negative)  # raises, with the values
        raise RuntimeError(f"gem_forward failed with code {code}")
    return y, wide, slope


def check_saved(slope: Tensor, y: Tensor) -> None:
    if slope.shape != y.shape:
        raise RuntimeError("gem: the gradient of p is wanted, but the forward ran with save=False")


def backward(needs, grads, args, results):
    x, p, mask, eps, negative, save = args
    y, wide, slope = results
    (grad,) = (g.contiguous() for g in grads)
    library, (batch, count, channels) = native(), x.shape
    grad_x = grad_p = None
    if needs[0]:
        grad_x = torch.empty_like(x)
        source = _layout(x, mask)
        same = source.stride(2) == 1 and grad_x.stride(2) == 1
        same = same or (source is x and mask is None and grad_x.stride(1) == x.stride(1) == 1)
        if same:
            out = grad_x
        else:  # x was copied, or is a view whose gradient has another layout
            source = source.contiguous()
            out = torch.empty_like(source)
        wide_p = p.to(torch.float32).contiguous()
        mask = None if mask is None else mask.contiguous()
        library.function("gem_backward", _BACKWARD)(
            grad.data_ptr(), source.data_ptr(), _Sizes(batch, count, channels, p.numel()),
            _strides(source), pointer(mask), wide_p.data_ptr(), eps, DTYPES[x.dtype],
            _MODES[negative], (y if x.dtype is torch.float32 else wide).data_ptr(),
            out.data_ptr(), _strides(out), torch.get_num_threads(),
        )  # fmt: skip
        if out is not grad_x:
            grad_x.copy_(out)
    if needs[1]:
        check_saved(slope, y)
        total = torch.empty(p.numel(), dtype=torch.float32)
        library.function("gem_grad_p", _GRAD_P)(
            grad.data_ptr(), DTYPES[x.dtype], slope.data_ptr(), batch, channels, p.numel(),
            total.data_ptr(),
        )  # fmt: skip
        grad_p = total.to(p.dtype)
    return grad_x, grad_p
