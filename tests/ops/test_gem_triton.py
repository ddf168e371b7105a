"""The Triton kernels of gem compile for a GPU (down to PTX), on a machine without one."""

from __future__ import annotations

import pytest

from tests.ops import battery

pytest.importorskip("triton")
TYPES = {
    **dict.fromkeys(("x", "grad", "grad_x"), "*bf16"),
    **dict.fromkeys(("p", "wide", "slope"), "*fp32"),
    "mask": "*u8", "kept": "*i32", "eps": "fp32",
}  # fmt: skip


@pytest.mark.parametrize("mode", [0, 1, 2])
@pytest.mark.parametrize("one", [False, True], ids=["general", "sizes_of_one"])
@pytest.mark.parametrize("masked", [False, True], ids=["whole", "masked"])
@pytest.mark.parametrize("name", ["gem_forward", "gem_backward"])
def test_compiles(name, masked, one, mode):
    from kernelmill.ops.gem import triton_kernels

    kernel = getattr(triton_kernels, name)
    options = dict(HAS_MASK=masked, MODE=mode, SAVE=True, WIDE=True, BLOCK_N=16, BLOCK_C=32)
    if name == "gem_backward":
        del options["SAVE"], options["WIDE"]
    signature = {arg: TYPES.get(arg, "i32") for arg in kernel.arg_names}
    signature["y"] = "*bf16" if name == "gem_forward" else "*fp32"
    if one:  # Triton makes a constant of every integer that is 1
        for arg in ("count", "channels", "groups", "stride_c", "out_c"):
            if arg in signature:
                options[arg] = 1
    battery.compiled(kernel, signature, options)
