"""Triton kernels of cache merging against the reference, in Triton's interpreter.

Run with TRITON_INTERPRET=1: ``python -m tests.ops.kv_merge_interpreter``.
"""

from __future__ import annotations

import torch

from kernelmill.ops.kv_merge import kv_merge, merged_attention
from kernelmill.ops.registry import use_backend
from tests.ops import battery
from tests.ops.test_kv_merge import cache, same

TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 1e-2}


def merging(shape, dtype) -> None:
    keys, values, scores = cache(*shape, dtype)
    tokens = shape[2]
    counts = torch.randint(0, 5, scores.shape)
    for options in (
        {"budget": max(1, tokens // 2), "recent": tokens // 7, "heavy": tokens // 9},
        {"threshold": 0.8, "mass": "value", "counts": counts},
        {"threshold": -2.0, "sigma": 5.0},
        {"threshold": -2.0, "counts": counts * 0},
        {"budget": 3, "recent": 2, "heavy": 2, "weights": "uniform"},
        {"budget": tokens, "pivot": "last"},
    ):
        with use_backend("reference"):
            wanted = kv_merge(keys, values, scores, **options)
        strided = battery.strided(keys), battery.strided(values)
        with use_backend("triton"), battery.poisoned():
            found = kv_merge(*strided, scores, **options)
        same(found, wanted, TOLERANCE[dtype])


def decoding(batch, heads, groups, count, slots, width, value_width, dtype) -> None:
    keys, values, scores = cache(batch, heads, 2 * slots, width, value_width, dtype)
    merged = kv_merge(keys, values, scores, budget=slots)
    merged.counts[..., : slots // 3] = 0
    queries = torch.randn(batch, heads * groups, count, width).to(dtype)
    for mass in ("bias", "none"):
        with use_backend("reference"):
            wide = merged._replace(keys=merged.keys.double(), values=merged.values.double())
            wanted = merged_attention(queries.double(), wide, mass=mass)
        with use_backend("triton"), battery.poisoned():
            found = merged_attention(queries, merged, mass=mass)
        assert found.dtype == dtype
        error = (found.double() - wanted).abs().max()
        assert error <= TOLERANCE[dtype] * max(wanted.abs().max().item(), 1), error


def main() -> None:
    torch.manual_seed(0)
    for dtype in TOLERANCE:
        for shape in ((1, 1, 2, 1, 1), (2, 2, 19, 20, 9), (1, 2, 37, 64, 16)):
            if shape[2] > 3:
                merging(shape, dtype)
        decoding(1, 2, 3, 1, 70, 16, 20, dtype)
        decoding(2, 1, 1, 2, 1, 8, 8, dtype)


if __name__ == "__main__":
    main()
