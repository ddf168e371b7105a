"""The Triton kernels of neighborhood attention: right on grids of many tiles, in the interpreter;
and compiled for a GPU on a machine without one."""

from __future__ import annotations

import pytest
import torch

from tests.ops import battery

pytest.importorskip("triton")
ELEMENTS = {torch.bfloat16: "*bf16", torch.float32: "*fp32"}
SHARED = 99 * 1024  # bytes a program may have on the smallest GPUs of today


def test_many_tiles_in_the_interpreter():
    battery.interpreted("tests.ops.neighborhood_interpreter")


class Recorder:
    """Stands in for a kernel: compiles what is launched instead of running it."""

    def __init__(self, kernel, found: dict) -> None:
        self.kernel, self.found = kernel, found

    def __getitem__(self, grid):
        return self.compile

    def compile(self, *args, **options) -> None:
        names = [n for n in self.kernel.arg_names if n not in options]
        assert len(names) == len(args)
        signature, constants = {}, {}
        for name, value in zip(names, args, strict=True):
            if isinstance(value, torch.Tensor):
                kind = {torch.int32: "*i32", **ELEMENTS}[value.dtype]
                signature[name] = kind
            elif isinstance(value, float):
                signature[name] = "fp32"
            elif value == 1:  # Triton makes a constant of it
                signature[name], constants[name] = "constexpr", 1
            else:
                signature[name] = "i32"
        launch = {k: options.pop(k) for k in ("num_warps", "num_stages") if k in options}
        constants |= options
        built = battery.compiled(self.kernel, signature, constants, 80, options=launch)
        self.found[self.kernel.fn.__name__] = built.metadata.shared


def arguments(grid, heads, kernel_size, stride, dilation, causal, dtype, extra, bias):
    count, kv_count, width, values = heads

    def empty(*shape):
        return torch.empty(shape, dtype=dtype)

    key = empty(1, *grid, kv_count, width), empty(1, *grid, kv_count, values)
    more = (empty(1, extra, kv_count, width), empty(1, extra, kv_count, values))
    rpb = empty(count, *(2 * k - 1 for k in kernel_size)) if bias else None
    return (
        empty(1, *grid, count, width), *key, *(more if extra else (None, None)), rpb,
        list(kernel_size), list(stride), list(dilation), list(causal), 0.1,
    )  # fmt: skip


CASES = {
    "sequence": ((1, 1, 4096), (2, 2, 64, 64), (1, 1, 127), (1, 1, 3), (1,) * 3, (False,) * 3, 0,
                 0),
    "image": ((1, 56, 56), (4, 2, 32, 32), (1, 7, 7), (1,) * 3, (1, 1, 2), (False,) * 3, 3, 1),
    "video": ((8, 16, 16), (2, 1, 128, 128), (3, 5, 5), (1,) * 3, (1,) * 3, (True, False, False), 5,
              0),
    "wide": ((1, 16, 16), (1, 1, 320, 40), (1, 5, 5), (1,) * 3, (1,) * 3, (False,) * 3, 2, 1),
}  # fmt: skip


@pytest.mark.parametrize(
    ("case", "dtype"),
    [
        ("sequence", torch.float32),
        ("image", torch.bfloat16),
        ("video", torch.bfloat16),
        ("wide", torch.float32),
    ],
)
def test_compiles(case, dtype, monkeypatch):
    from kernelmill.ops.neighborhood import triton as launcher
    from kernelmill.ops.neighborhood import triton_backward, triton_kernels

    *window, extra, bias = CASES[case]
    args = arguments(*window, dtype, extra, bias)
    found: dict[str, int] = {}
    for module, names in (
        (triton_kernels, ["forward"]),
        (triton_backward, ["delta", "query_gradient", "key_value_gradient", "extra_gradient",
                           "bias_gradient"]),
    ):  # fmt: skip
        for name in names:
            monkeypatch.setattr(module, name, Recorder(getattr(module, name), found))
    results = launcher.forward(*args)
    needs = [x is not None for x in args[:6]]
    launcher.backward(needs, [torch.empty_like(x) for x in results], args, results)
    assert len(found) == 4 + bool(extra) + bool(bias)
    assert max(found.values()) <= SHARED, found
