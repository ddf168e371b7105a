"""Triton kernels of neighborhood attention on grids of many tiles, in Triton's interpreter.

Run with TRITON_INTERPRET=1: ``python -m tests.ops.neighborhood_interpreter``. The operator's own
examples are smaller than one tile; here tiles have 16 tokens, and some lie within every window.
"""

from __future__ import annotations

import torch
from torch import Tensor

from kernelmill.ops.neighborhood import neighborhood_attention, triton
from kernelmill.ops.registry import use_backend
from tests.ops import battery

TOLERANCE = 2e-5
#        grid, (H, Hkv, D, Dv), kernel_size, stride, dilation, is_causal, additional keys, bias
CASES = (
    ((71,), (2, 1, 8, 8), (33,), (1,), (2,), (False,), 0, False),
    ((45,), (1, 1, 5, 12), (40,), (7,), (1,), (True,), 20, False),
    ((9, 9), (1, 1, 8, 8), (8, 9), (1, 3), (1, 1), (False, True), 0, False),
    ((6, 9), (1, 1, 8, 8), (3, 4), (1, 1), (1, 2), (False, False), 3, True),
    ((3, 5, 5), (1, 1, 8, 8), (3, 5, 4), (2, 1, 1), (1, 1, 1), (True, False, False), 0, False),
)


def compare(shape, heads, k, stride, dilation, causal, extra, bias) -> None:
    count, kv_count, width, values = heads
    names = ["query", "key", "value"]
    tensors = [torch.randn(1, *shape, n, d) for n, d in zip(
        (count, kv_count, kv_count), (width, width, values), strict=True
    )]  # fmt: skip
    if extra:
        names += ["additional_keys", "additional_values"]
        tensors += [torch.randn(1, extra, kv_count, d) for d in (width, values)]
    if bias:
        names.append("rpb")
        tensors.append(torch.randn(count, *(2 * i - 1 for i in k)))

    def run(backend: str, dtype: torch.dtype) -> list[Tensor]:
        inputs = [battery.strided(x.to(dtype)).requires_grad_() for x in tensors]
        with use_backend(backend), battery.poisoned():
            out, lse = neighborhood_attention(
                **dict(zip(names, inputs, strict=True)), kernel_size=k, stride=stride,
                dilation=dilation, is_causal=causal, scale=0.3, return_lse=True,
            )  # fmt: skip
            loss = out.sin().sum() + lse.cos().sum()
            return [out, lse, *torch.autograd.grad(loss, inputs)]

    found, wanted = run("triton", torch.float32), run("reference", torch.float64)
    for name, a, b in zip(["out", "lse", *names], found, wanted, strict=True):
        error = (a - b).abs().max() / b.abs().max().clamp(min=1)
        assert error <= TOLERANCE, f"{shape}: {name}: error {error:.3g}"


def main() -> None:
    torch.manual_seed(0)
    triton._Launch.lanes = lambda self: 16
    for case in CASES:
        compare(*case)


if __name__ == "__main__":
    main()
