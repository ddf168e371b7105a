"""Launches for rows that one program holds."""

from __future__ import annotations

from torch import Tensor

from kernelmill.ops.long_conv import triton_kernels as kernels
from kernelmill.ops.long_conv.triton_call import Arguments, bits_of, factors, tables

_PROGRAMS = 512  # wanted for the gradient of the kernels: the batch is split to get them


class Whole:
    def __init__(self, args: Arguments):
        self.args = args
        n1, n2 = factors(bits_of(args.length))
        self.tables = tables(n1, n2, 0.25, args.u.device)
        self.size = {
            "N1": n1, "N2": n2, "num_warps": 4 if n1 * n2 <= 1024 else 8, **args.precision,
        }  # fmt: skip

    def values(self) -> Tensor:
        a = self.args
        rows = a.kernels * a.heads
        found = a.k.new_empty(rows, 2, self.size["N1"] * self.size["N2"])
        kernels.kernel_values[(rows,)](
            a.k, a.k_rev, found, self.tables, a.taps, a.ahead, a.offset,
            **a.has_reverse, **self.size,
        )  # fmt: skip
        return found

    def convolve(self, y: Tensor) -> None:
        a = self.args
        kernels.convolve[(a.batch * a.kernels * a.heads,)](
            a.u, a.in_gate, a.out_gate, a.skip, a.lengths, self.values(), self.tables, y,
            a.kernels, a.heads, a.length, *a.strides,
            **self.size, **a.has_in, **a.has_out, **a.has_skip, **a.has_lengths,
        )  # fmt: skip

    def input_gradients(self, grad, to_u, to_gate, wants_u: bool, wants_gate: bool) -> None:
        a = self.args
        kernels.input_gradient[(a.batch * a.heads,)](
            grad, a.u, a.in_gate, a.out_gate, a.skip, a.lengths, self.values(), self.tables, to_u,
            to_gate, a.kernels, a.heads, a.length, *a.strides, *grad.stride(),
            TO_U=wants_u, TO_GATE=wants_gate,
            **self.size, **a.has_in, **a.has_out, **a.has_skip, **a.has_lengths,
        )  # fmt: skip

    def kernel_gradients(self, grad) -> tuple[Tensor, Tensor]:
        """Of k and k_rev: (C, H, taps)."""
        a = self.args
        rows = a.kernels * a.heads
        parts = max(1, min(a.batch, _PROGRAMS // rows))
        causal, ahead = (a.k.new_empty(parts, rows, taps) for taps in (a.taps, a.ahead))
        kernels.kernel_gradient[(rows, parts)](
            grad, a.u, a.in_gate, a.out_gate, a.lengths, self.tables, causal, ahead, a.batch,
            a.kernels, a.heads, a.length, a.taps, a.ahead, a.offset, *a.strides, *grad.stride(),
            **self.size, **a.has_in, **a.has_out, **a.has_lengths, **a.has_reverse,
        )  # fmt: skip
        return causal.sum(0), ahead.sum(0)
