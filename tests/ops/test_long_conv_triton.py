"""The Triton kernels of long_conv compile for a GPU (down to PTX), on a machine without one."""

from __future__ import annotations

import pytest

triton = pytest.importorskip("triton")
POINTERS = {
    **dict.fromkeys(("u", "in_gate", "out_gate", "y", "grad", "grad_u", "grad_gate"), "*bf16"),
    **dict.fromkeys(("k", "k_rev", "skip", "values", "tables", "grad_k", "grad_rev"), "*fp32"),
    "lengths": "*i64",
}  # fmt: skip


@pytest.mark.parametrize("features", [False, True], ids=["bare", "everything"])
@pytest.mark.parametrize("precision", ["ieee", "tf32"])
@pytest.mark.parametrize("name", ["kernel_values", "convolve", "input_gradient", "kernel_gradient"])
def test_compiles(name, precision, features):
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from kernelmill.ops.long_conv import triton_kernels

    kernel = getattr(triton_kernels, name)
    flags = ("IN", "OUT", "SKIP", "HAS_LENGTHS", "HAS_REVERSE", "TO_U", "TO_GATE")
    options = {"N1": 32, "N2": 16, "PRECISION": precision, **dict.fromkeys(flags, features)}
    options = {key: value for key, value in options.items() if key in kernel.arg_names}
    signature = {arg: POINTERS.get(arg, "i32") for arg in kernel.arg_names}
    if precision == "ieee":
        signature = {arg: "*fp32" if t == "*bf16" else t for arg, t in signature.items()}
    for arg in ("offset", "u_t", "kernels"):  # Triton makes a constant of every integer that is 1
        if arg in signature:
            options[arg] = 1
    signature |= dict.fromkeys(options, "constexpr")
    source = ASTSource(kernel, signature, constexprs=options)
    assert ".visible .entry" in triton.compile(source, target=GPUTarget("cuda", 90, 32)).asm["ptx"]
