"""The Triton kernels of cache merging: right in the interpreter, and compiled for a GPU (down to
PTX) on a machine without one."""

from __future__ import annotations

import pytest
import torch

from tests.ops import battery

pytest.importorskip("triton")

OF_TYPE = {"keys": "*bf16", "values": "*bf16", "queries": "*bf16", "out_keys": "*bf16",
           "out_values": "*bf16", "counts": "*i32", "starts": "*i32", "ends": "*i32",
           "out_counts": "*i32", "pivots": "*i32", "scores": "*fp32", "out": "*fp32",
           "lse": "*fp32", "parts": "*fp32", "sigma": "fp32", "scale": "fp32"}  # fmt: skip
TILES = {"UPCAST": False, "BLOCK_N": 16, "BLOCK_M": 32, "BLOCK_D": 64}
MERGE = {"HAS_COUNTS": True, "GAUSSIAN": True, "ADAPTIVE": True, "BY_VALUE": False}
SMALL = {"BLOCK_N": 4, "BLOCK_D": 64, "BLOCK_V": 64}
CASES = {
    "cosine": ("cosine", {"BLOCK_T": 32, "BLOCK_D": 64}),
    "lse": ("row_lse", {"CAUSAL": True, **TILES}),
    "sums": ("column_sums", {"CAUSAL": True, **TILES}),
    "sums_both_ways": ("column_sums", {"CAUSAL": False, **TILES}),
    "merge": ("merge", MERGE | SMALL),
    "merge_plain": ("merge", {**dict.fromkeys(MERGE, False), "BY_VALUE": True} | SMALL),
    "decode": ("decode", {"BY_COUNT": True, "BLOCK_V": 64, **TILES}),
}


def test_right_in_the_interpreter():
    battery.interpreted("tests.ops.kv_merge_interpreter")


@pytest.mark.parametrize("one", [False, True], ids=["general", "sizes_of_one"])
@pytest.mark.parametrize("case", CASES)
def test_compiles(case, one):
    from kernelmill.ops.kv_merge import triton_kernels

    name, options = CASES[case]
    kernel, options = getattr(triton_kernels, name), dict(options)
    signature = {arg: OF_TYPE.get(arg, "i32") for arg in kernel.arg_names}
    if one:  # Triton makes a constant of every integer that is 1
        ones = {"heads", "groups", "key_d", "value_d", "query_d", "stride_d", "rows", "splits"}
        options |= dict.fromkeys(ones & set(signature), 1)
    battery.compiled(kernel, signature, options)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_right_on_a_gpu():
    from kernelmill.ops.kv_merge import kv_merge
    from tests.ops.test_kv_merge import cache, same

    keys, values, scores = cache(2, 4, 700, 128, 64)
    for options in ({"budget": 300, "recent": 50, "heavy": 20}, {"threshold": 0.8}):
        wanted = kv_merge(keys, values, scores, **options)
        found = kv_merge(keys.cuda(), values.cuda(), scores.cuda(), **options)
        same(type(found)(*(x.cpu() for x in found)), wanted, 1e-5)
