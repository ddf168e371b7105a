"""Launches for rows beyond one program: three passes (`triton_passes`)."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from kernelmill.ops.long_conv import triton_passes as passes
from kernelmill.ops.long_conv.triton_call import Arguments, bits_of, factors, roots, tables

_WIDTH = 32


def shape(length: int) -> tuple[int, int]:
    """P, m: parts and their length, powers of two with P m >= length."""
    bits = bits_of(length)
    parts = max(4, min(6, bits // 3))
    return 1 << parts, 1 << max(8, bits - parts)


@lru_cache(maxsize=16)
def _outer(parts: int, m: int, device: torch.device) -> Tensor:
    """F[j, a] and T[j, b]."""
    j = torch.arange(parts).double()[:, None] + 0.25
    turns = [j * torch.arange(parts) / parts, j * torch.arange(m) / (parts * m)]
    return roots(turns, device)


class Long:
    def __init__(self, args: Arguments):
        self.args = args
        self.parts, self.m = shape(args.length)
        n1, n2 = factors(self.m.bit_length() - 1)
        device = args.u.device
        self.outer = _outer(self.parts, self.m, device)
        self.inner = tables(n1, n2, 0.0, device)
        self.columns = {"PARTS": self.parts, "WIDTH": _WIDTH, **args.precision}
        self.part = {
            "PARTS": self.parts, "N1": n1, "N2": n2, "num_warps": 4 if self.m <= 1024 else 8,
            **args.precision,
        }  # fmt: skip

    def _outer_grid(self, rows: int) -> tuple[int, int]:
        return rows, self.m // _WIDTH

    def _room(self, rows: int) -> Tensor:
        return self.args.k.new_empty(rows, 2, self.parts, self.m)

    def _split_input(self) -> Tensor:
        a = self.args
        rows = a.batch * a.heads
        work = self._room(rows)
        passes.split_input[self._outer_grid(rows)](
            a.u, a.in_gate, a.lengths, self.outer, work, a.heads, a.length, self.m, *a.u_strides,
            *a.in_strides, **self.columns, **a.has_in, **a.has_lengths,
        )  # fmt: skip
        return work

    def _split_gradient(self, grad: Tensor) -> Tensor:
        a = self.args
        rows = a.batch * a.kernels * a.heads
        work = self._room(rows)
        passes.split_gradient[self._outer_grid(rows)](
            grad, a.out_gate, self.outer, work, a.kernels, a.heads, a.length, self.m,
            *a.out_strides, *grad.stride(), **self.columns, **a.has_out,
        )  # fmt: skip
        return work

    def values(self) -> Tensor:
        a = self.args
        rows = a.kernels * a.heads
        work = self._room(rows)
        passes.split_kernel[self._outer_grid(rows)](
            a.k, a.k_rev, self.outer, work, a.taps, a.ahead, a.offset, self.m,
            **self.columns, **a.has_reverse,
        )  # fmt: skip
        passes.part_values[(rows, self.parts)](work, self.inner, **self.part)
        return work

    def convolve(self, y: Tensor) -> None:
        a = self.args
        rows = a.batch * a.kernels * a.heads
        work = self._split_input()
        result = work if a.kernels == 1 else self._room(rows)
        passes.part_convolve[(rows, self.parts)](
            work, self.values(), result, self.inner, a.kernels, a.heads, **self.part
        )
        passes.merge_output[self._outer_grid(rows)](
            result, self.outer, a.u, a.in_gate, a.out_gate, a.skip, a.lengths, y, a.kernels,
            a.heads, a.length, self.m, *a.strides,
            **self.columns, **a.has_in, **a.has_out, **a.has_skip, **a.has_lengths,
        )  # fmt: skip

    def input_gradients(self, grad, to_u, to_gate, wants_u: bool, wants_gate: bool) -> None:
        a = self.args
        rows = a.batch * a.heads
        grads = self._split_gradient(grad)
        result = grads if a.kernels == 1 else self._room(rows)
        passes.part_input_gradient[(rows, self.parts)](
            grads, self.values(), result, self.inner, a.kernels, a.heads, **self.part
        )
        passes.merge_input_gradient[self._outer_grid(rows)](
            result, self.outer, grad, a.u, a.in_gate, a.out_gate, a.skip, a.lengths, to_u, to_gate,
            a.kernels, a.heads, a.length, self.m, *a.strides, *grad.stride(),
            TO_U=wants_u, TO_GATE=wants_gate,
            **self.columns, **a.has_in, **a.has_out, **a.has_skip, **a.has_lengths,
        )  # fmt: skip

    def kernel_gradients(self, grad) -> tuple[Tensor, Tensor]:
        """Of k and k_rev: (C, H, taps)."""
        a = self.args
        rows = a.kernels * a.heads
        result = self._room(rows)
        passes.part_kernel_gradient[(rows, self.parts)](
            self._split_input(), self._split_gradient(grad), result, self.inner, a.batch,
            a.kernels, a.heads, **self.part,
        )  # fmt: skip
        causal, ahead = (a.k.new_empty(rows, taps) for taps in (a.taps, a.ahead))
        passes.merge_kernel_gradient[self._outer_grid(rows)](
            result, self.outer, causal, ahead, a.taps, a.ahead, a.offset, self.m,
            **self.columns, **a.has_reverse,
        )  # fmt: skip
        return causal, ahead
