"""The Triton kernels of long_conv compile for a GPU (down to PTX), on a machine without one."""

from __future__ import annotations

import pytest
import torch

from tests.ops import battery

pytest.importorskip("triton")
POINTERS = {
    **dict.fromkeys(("u", "in_gate", "out_gate", "y", "grad", "grad_u", "grad_gate"), "*bf16"),
    **dict.fromkeys(("k", "k_rev", "skip", "values", "tables", "grad_k", "grad_rev"), "*fp32"),
    **dict.fromkeys(("work", "outer", "inner", "grads", "result"), "*fp32"),
    "lengths": "*i64",
}  # fmt: skip
WHOLE = ("kernel_values", "convolve", "input_gradient", "kernel_gradient")
PASSES = (
    "split_input", "split_gradient", "split_kernel", "part_values", "part_convolve",
    "part_input_gradient", "part_kernel_gradient", "merge_output", "merge_input_gradient",
    "merge_kernel_gradient",
)  # fmt: skip
FLAGS = ("IN", "OUT", "SKIP", "HAS_LENGTHS", "HAS_REVERSE", "TO_U", "TO_GATE")


@pytest.mark.parametrize(
    ("precision", "features"), [("ieee", False), ("ieee", True), ("tf32", True)]
)
@pytest.mark.parametrize("name", [*WHOLE, *PASSES])
def test_compiles(name, precision, features):
    from kernelmill.ops.long_conv import triton_kernels, triton_passes

    kernel = getattr(triton_kernels if name in WHOLE else triton_passes, name)
    options = {"N1": 32, "N2": 16, "PARTS": 16, "WIDTH": 32, "PRECISION": precision}
    options |= dict.fromkeys(FLAGS, features)
    options = {key: value for key, value in options.items() if key in kernel.arg_names}
    signature = {arg: POINTERS.get(arg, "i32") for arg in kernel.arg_names}
    if precision == "ieee":
        signature = {arg: "*fp32" if t == "*bf16" else t for arg, t in signature.items()}
    for arg in ("offset", "u_t", "kernels"):  # Triton makes a constant of every integer that is 1
        if arg in signature:
            options[arg] = 1
    battery.compiled(kernel, signature, options)


@pytest.mark.parametrize("length", [1, 255, 256, 257, 4096, 4097, 100000, 1 << 18])
def test_every_length_has_room(length):
    from kernelmill.ops.long_conv import triton_call, triton_long

    n1, n2 = triton_call.factors(triton_call.bits_of(length))
    assert n1 * n2 >= length and min(n1, n2) >= 16
    if length > 1024:  # the least that `longest` may be
        parts, m = triton_long.shape(length)
        assert parts * m >= length and 16 <= parts <= 64
        assert 256 <= m <= (4096 if length > 64 * 1024 else 1024)


def test_tables_are_the_transform():
    """F2 (T * (F1 x)): the values of x at the roots of X^M = i, in float64."""
    from kernelmill.ops.long_conv.triton_call import tables

    n1, n2 = 32, 16
    parts = tables(n1, n2, 0.25, torch.device("cpu")).double()
    parts = parts.split([n1 * n1, n1 * n1, n1 * n2, n1 * n2, n2 * n2, n2 * n2])
    first, turn, second = (
        torch.complex(re, im).view(rows, -1)
        for re, im, rows in zip(parts[::2], parts[1::2], (n1, n1, n2), strict=True)
    )
    x = torch.randn(n1 * n2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    got = (turn * (first @ x.view(n1, n2).to(torch.complex128))) @ second
    k = torch.arange(n1)[:, None] + n1 * torch.arange(n2)
    turns = torch.arange(n1 * n2) * (k.flatten()[:, None].double() + 0.25) / (n1 * n2)
    want = torch.exp(2j * torch.pi * turns) @ x.to(torch.complex128)
    torch.testing.assert_close(got.flatten(), want, rtol=0, atol=1e-5)
