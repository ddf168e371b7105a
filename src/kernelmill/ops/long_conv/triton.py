"""Long convolutions in Triton: whole rows in one program, longer ones in three passes.

The transforms are products with small dense matrices (Monarch), in float32 ("ieee") for float32
rows and TensorFloat-32 for half ones. Kernels' values are computed once per call and serve the
whole batch. Rows beyond both ways go through `torch.fft`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from kernelmill.ops.kernel_call import unfit
from kernelmill.ops.long_conv.layout import in_layout_of
from kernelmill.ops.long_conv.reference import convolve_reference
from kernelmill.ops.long_conv.triton_call import Arguments, longest

MOST_PARTS = 64


def fits(u, k, skip, k_rev, in_gate, out_gate, lengths, reverse_offset) -> str | None:
    return unfit("triton", "u", u)


def too_long(u: Tensor) -> str | None:
    """Why a row goes through `torch.fft` all the same. Not in `fits`: lengths may be symbols."""
    most = MOST_PARTS * longest(u.device)
    return f"L = {u.shape[2]} is beyond the {most} of the kernels" if u.shape[2] > most else None


def _launches(*args):
    arguments = Arguments(*args)
    if arguments.length <= longest(arguments.u.device):
        from kernelmill.ops.long_conv.triton_whole import Whole

        return Whole(arguments)
    from kernelmill.ops.long_conv.triton_long import Long

    return Long(arguments)


def forward(*args):
    u, k = args[:2]
    if too_long(u):
        return (convolve_reference(*args),)
    y = u.new_empty(u.shape[0], k.shape[0], *u.shape[1:])
    if y.numel():
        _launches(*args).convolve(y)
    return (y,)


def backward(needs, grads, args, results):
    u, k, skip, k_rev, in_gate, out_gate, lengths, offset = args
    (grad,) = grads
    if too_long(u):
        from kernelmill.ops.registry import operators, reference_vjp

        return reference_vjp(operators()["long_conv"], needs, grads, args)
    found: list[Tensor | None] = [None] * 6
    if needs[5]:  # the result without its gate
        (plain,) = forward(u, k, skip, k_rev, in_gate, None, lengths, offset)
        found[5] = torch.mul(grad, plain, out=torch.empty_like(out_gate))
    if not grad.numel():
        likes = (u, k, skip, k_rev, in_gate)
        empty = [torch.zeros_like(x) if n else None for n, x in zip(needs, likes, strict=False)]
        return [*empty, found[5]]
    launches = _launches(*args)
    if needs[0] or needs[4]:
        to_u, to_gate = (torch.empty(u.shape, dtype=u.dtype, device=u.device) for _ in range(2))
        launches.input_gradients(grad, to_u, to_gate, needs[0], needs[4])
        found[0] = in_layout_of(to_u, u) if needs[0] else None
        found[4] = in_layout_of(to_gate, in_gate) if needs[4] else None
    if needs[1] or needs[2] or needs[3]:
        causal, ahead = (x.unflatten(0, k.shape[:2]) for x in launches.kernel_gradients(grad))
        found[1] = in_layout_of(causal, k) if needs[1] else None
        found[2] = in_layout_of(causal[..., 0].contiguous(), skip) if needs[2] else None
        found[3] = in_layout_of(ahead, k_rev) if needs[3] else None
    return found
