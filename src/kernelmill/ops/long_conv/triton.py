"""Long convolutions in Triton: rows of up to 4096 positions, whole in one program.

The transforms are products with small dense matrices (Monarch), in float32 ("ieee") for float32
rows and TensorFloat-32 for half ones. Kernels' values are computed once per call and serve the
whole batch. Longer rows go through `torch.fft`.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from kernelmill.ops.long_conv.layout import in_layout_of
from kernelmill.ops.long_conv.reference import convolve_reference

_DTYPES = (torch.float32, torch.bfloat16, torch.float16)
_PROGRAMS = 512  # wanted for the gradient of the kernels: the batch is split to get them
_kernels = None


def fits(u, k, skip, k_rev, in_gate, out_gate, lengths, reverse_offset) -> str | None:
    from kernelmill.ops.registry import interpreting

    if u.device.type != "cuda" and not interpreting():
        return f"u is on {u.device}"
    if u.dtype not in _DTYPES:
        return f"no Triton kernel for {u.dtype}"
    return None


def _load():
    """Import Triton only when it is needed."""
    global _kernels
    if _kernels is None:
        from kernelmill.ops.long_conv import triton_kernels

        _kernels = triton_kernels
    return _kernels


def longest(device: torch.device) -> int:
    """Rows up to this length are done here: their transforms fit into shared memory."""
    if device.type != "cuda":
        return 4096
    room = torch.cuda.get_device_properties(device).shared_memory_per_block_optin
    return 4096 if room >= 160 << 10 else 1024


def factors(length: int) -> tuple[int, int]:
    """N1, N2: powers of two from 16 on with N1 N2 >= length, as near to each other as can be."""
    bits = max(8, (length - 1).bit_length())
    return 1 << (bits + 1) // 2, 1 << bits // 2


@lru_cache(maxsize=32)
def tables(n1: int, n2: int, device: torch.device) -> Tensor:
    """F1[k1, a], T[k1, b], F2[b, k2] of `triton_kernels`, real and imaginary parts, in a row."""
    k1, a, b = torch.arange(n1), torch.arange(n1), torch.arange(n2)
    turns = (
        (k1[:, None] + 0.25) * a / n1,
        (k1[:, None] + 0.25) * b / (n1 * n2),
        b[:, None].double() * b / n2,
    )
    parts = []
    for part in turns:
        angle = 2 * torch.pi * (part.double() % 1)
        parts += [angle.cos().flatten(), angle.sin().flatten()]
    return torch.cat(parts).to(device=device, dtype=torch.float32)


class _Call:
    """What the kernels take alike."""

    def __init__(self, u, k, skip, k_rev, in_gate, out_gate, lengths, offset):
        length = u.shape[2]
        self.k = k[..., :length].contiguous()
        self.k_rev = None if k_rev is None else k_rev[..., : length - offset].contiguous()
        if self.k_rev is not None and not self.k_rev.shape[-1]:
            self.k_rev = None
        self.kernels, self.heads, self.taps = self.k.shape
        self.ahead = 0 if self.k_rev is None else self.k_rev.shape[-1]
        self.offset, self.length, self.batch = offset, length, u.shape[0]
        n1, n2 = factors(length)
        self.tables = tables(n1, n2, u.device)
        self.skip = u if skip is None else skip.contiguous()
        self.row = (
            u, u if in_gate is None else in_gate, u if out_gate is None else out_gate,
        )  # fmt: skip
        self.lengths = u if lengths is None else lengths.contiguous()
        self.strides = (
            *u.stride(), *((0, 0, 0) if in_gate is None else in_gate.stride()),
            *((0, 0, 0, 0) if out_gate is None else out_gate.stride()),
        )  # fmt: skip
        self.size = {
            "N1": n1, "N2": n2, "PRECISION": "ieee" if u.dtype is torch.float32 else "tf32",
            "num_warps": 4 if n1 * n2 <= 1024 else 8,
        }  # fmt: skip
        self.flags = {
            "IN": in_gate is not None, "OUT": out_gate is not None,
            "HAS_LENGTHS": lengths is not None,
        }  # fmt: skip
        self.skips = {"SKIP": skip is not None}

    def values(self) -> Tensor:
        rows = self.kernels * self.heads
        found = self.k.new_empty(rows, 2, self.size["N1"] * self.size["N2"])
        k_rev = self.k if self.k_rev is None else self.k_rev
        _load().kernel_values[(rows,)](
            self.k, k_rev, found, self.tables, self.taps, self.ahead, self.offset,
            HAS_REVERSE=self.ahead > 0, **self.size,
        )  # fmt: skip
        return found


def forward(*args):
    u, k = args[:2]
    if u.shape[2] > longest(u.device):
        return (convolve_reference(*args),)
    y = u.new_empty(u.shape[0], k.shape[0], *u.shape[1:])
    if y.numel():
        call = _Call(*args)
        _load().convolve[(call.batch * call.kernels * call.heads,)](
            *call.row, call.skip, call.lengths, call.values(), call.tables, y, call.kernels,
            call.heads, call.length, *call.strides, **call.size, **call.flags, **call.skips,
        )  # fmt: skip
    return (y,)


def backward(needs, grads, args, results):
    from kernelmill.ops.registry import operators, reference_vjp

    u, k, skip, k_rev, in_gate, out_gate, lengths, offset = args
    (grad,) = grads
    if u.shape[2] > longest(u.device):
        return reference_vjp(operators()["long_conv"], needs, grads, args)
    found: list[Tensor | None] = [None] * 6
    if needs[5]:  # the result without its gate
        (plain,) = forward(u, k, skip, k_rev, in_gate, None, lengths, offset)
        found[5] = torch.mul(grad, plain, out=torch.empty_like(out_gate))
    if not grad.numel():
        likes = (u, k, skip, k_rev, in_gate)
        empty = [torch.zeros_like(x) if n else None for n, x in zip(needs, likes, strict=False)]
        return [*empty, found[5]]
    call = _Call(*args)
    if needs[0] or needs[4]:
        found[0], found[4] = _input_gradients(needs, grad, args, call)
    if needs[1] or needs[2] or needs[3]:
        found[1:4] = _kernel_gradients(needs, grad, args, call)
    return found


def _input_gradients(needs, grad, args, call):
    u, in_gate = args[0], args[4]
    to_u, to_gate = (torch.empty(u.shape, dtype=u.dtype, device=u.device) for _ in range(2))
    _load().input_gradient[(call.batch * call.heads,)](
        grad, *call.row, call.skip, call.lengths, call.values(), call.tables, to_u, to_gate,
        call.kernels, call.heads, call.length, *call.strides, *grad.stride(),
        TO_U=needs[0], TO_GATE=needs[4], **call.size, **call.flags, **call.skips,
    )  # fmt: skip
    return in_layout_of(to_u, u) if needs[0] else None, in_layout_of(to_gate, in_gate) if needs[
        4
    ] else None


def _kernel_gradients(needs, grad, args, call):
    rows = call.kernels * call.heads
    parts = max(1, min(call.batch, _PROGRAMS // rows))
    by_part = call.k.new_empty(parts, rows, call.taps)
    ahead = call.k.new_empty(parts, rows, call.ahead)
    _load().kernel_gradient[(rows, parts)](
        grad, *call.row, call.lengths, call.tables, by_part, ahead, call.batch, call.kernels,
        call.heads, call.length, call.taps, call.ahead, call.offset, *call.strides, *grad.stride(),
        HAS_REVERSE=call.ahead > 0, **call.size, **call.flags,
    )  # fmt: skip
    total = by_part.sum(0).view(call.k.shape)
    k, skip, k_rev = args[1:4]
    return (
        in_layout_of(total, k) if needs[1] else None,
        in_layout_of(total[..., 0].contiguous(), skip) if needs[2] else None,
        in_layout_of(ahead.sum(0).view(*k.shape[:2], -1 if call.ahead else 0), k_rev)
        if needs[3] else None,
    )  # fmt: skip
