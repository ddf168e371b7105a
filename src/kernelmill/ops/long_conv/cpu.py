"""Long convolutions on CPUs: `csrc/long_conv.cpp` through ctypes."""

from __future__ import annotations

import ctypes
from functools import lru_cache

import torch
from torch import Tensor

from kernelmill.ops.kernel_call import DTYPES, longs, pointer, run, unfit
from kernelmill.ops.long_conv.layout import in_layout_of
from kernelmill.ops.long_conv.plan import Plan, plan
from kernelmill.ops.native import native

_P, _I = ctypes.c_void_p, ctypes.c_int
_FACTORS = (_P, _P, _P)
_FORWARD = (_P, _P, _P, _P, _I, _P, _I)
_BACKWARD = (_P, _P, _P, _P, _I, _P, _P, _I)


def fits(u, k, skip, k_rev, in_gate, out_gate, lengths, reverse_offset) -> str | None:
    return unfit("cpu", "u", u)


@lru_cache(maxsize=32)
def _factors(size: int, radix: int, isa: str) -> Tensor:
    """Roots of unity in the order in which the kernels of an instruction set read them."""
    if not size:  # the sum itself
        return torch.empty(0)
    function, sizes, count = (
        native().function("long_conv_factors", _FACTORS), longs(size, radix), ctypes.c_int64()
    )  # fmt: skip
    function(sizes, None, ctypes.byref(count))
    table = torch.empty(count.value, dtype=torch.float32)
    function(sizes, table.data_ptr(), None)
    return table


def _dense(x: Tensor | None) -> Tensor | None:
    """x, copied only if its rows are not contiguous."""
    return x if x is None or x.stride(-1) == 1 or x.shape[-1] == 1 else x.contiguous()


class _Call:
    """What forward and backward hand over alike; keeps the tensors alive."""

    def __init__(self, u, k, skip, k_rev, in_gate, out_gate, lengths, offset):
        length = u.shape[2]
        k = k[..., :length].contiguous()
        if k_rev is not None:
            k_rev = k_rev[..., : max(length - offset, 0)].contiguous()
        taps, ahead = k.shape[2], 0 if k_rev is None else k_rev.shape[2]
        u, in_gate, out_gate = _dense(u), _dense(in_gate), _dense(out_gate)
        skip = None if skip is None else skip.contiguous()
        lengths = None if lengths is None else lengths.to(torch.int64).contiguous()
        self.tensors = (u, in_gate, out_gate, k, k_rev if ahead else None, skip, lengths)
        self.k, self.k_rev, self.dtype = k, k_rev, DTYPES[u.dtype]
        self.shape = (u.shape[0], k.shape[0], *u.shape[1:])
        self.plan: Plan = plan(length, taps, ahead - 1 + offset if ahead else 0)
        self.factors = _factors(self.plan.size, self.plan.radix, native().isa)
        self.sizes = longs(*self.shape, taps, ahead, offset, *self.plan)
        self.inputs = (_P * 7)(*map(pointer, self.tensors))
        self.strides = (
            *u.stride()[:2],
            *((0, 0) if in_gate is None else in_gate.stride()[:2]),
            *((0, 0, 0) if out_gate is None else out_gate.stride()[:3]),
        )


def forward(u, k, skip, k_rev, in_gate, out_gate, lengths, reverse_offset):
    call = _Call(u, k, skip, k_rev, in_gate, out_gate, lengths, reverse_offset)
    y = torch.empty(call.shape, dtype=u.dtype)
    if y.numel():
        run(
            "long_conv_forward", _FORWARD, call.sizes, call.factors.data_ptr(), call.inputs,
            longs(*call.strides), call.dtype, y.data_ptr(),
        )  # fmt: skip
    return (y,)


def backward(needs, grads, args, results):
    u, k, skip, k_rev, in_gate, out_gate, lengths, reverse_offset = args
    grad, call = _dense(grads[0]), _Call(*args)
    by_forward = needs[5] and not call.plan.whole
    outputs: dict[str, Tensor | None] = {}  # in the kernel's order
    for name, need, like, shape in (
        ("u", needs[0], u, u.shape),
        ("in_gate", needs[4], in_gate, u.shape),
        ("out_gate", needs[5] and not by_forward, out_gate, call.shape),
        ("k", needs[1], k, call.k.shape),
        ("k_rev", needs[3], k_rev, call.k_rev.shape if needs[3] else None),
        ("skip", needs[2], skip, k.shape[:2]),
    ):
        make = torch.empty if grad.numel() else torch.zeros
        outputs[name] = make(shape, dtype=like.dtype) if need else None
    if grad.numel() and any(x is not None for x in outputs.values()):
        run(
            "long_conv_backward", _BACKWARD, call.sizes, call.factors.data_ptr(), call.inputs,
            longs(*call.strides, *grad.stride()[:3]), call.dtype, grad.data_ptr(),
            (_P * 6)(*map(pointer, outputs.values())),
        )  # fmt: skip
    if by_forward:  # blocks and few taps: the result without its gate
        (plain,) = forward(u, k, skip, k_rev, in_gate, None, lengths, reverse_offset)
        outputs["out_gate"] = grad * plain
    named = {"u": u, "k": k, "skip": skip, "k_rev": k_rev, "in_gate": in_gate, "out_gate": out_gate}
    return [
        None if outputs[name] is None else in_layout_of(outputs[name], like)
        for name, like in named.items()
    ]
