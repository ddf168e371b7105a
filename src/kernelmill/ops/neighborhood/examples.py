"""Example arguments of `neighborhood_attention`: tests and benchmarks run over them."""

from __future__ import annotations

from kernelmill.ops.registry import Example


def _example(name, grid, heads, kernel_size, bench=False, batch=1, extra=0, bias=False, **rest):
    """heads: (H, Hkv, D, Dv)."""

    def make(randn, dtype, device):
        count, kv_count, width, v_width = heads
        args = {
            "query": randn(batch, *grid, count, width),
            "key": randn(batch, *grid, kv_count, width),
            "value": randn(batch, *grid, kv_count, v_width),
        }
        if extra:
            args["additional_keys"] = randn(batch, extra, kv_count, width)
            args["additional_values"] = randn(batch, extra, kv_count, v_width)
        if bias:
            sizes = kernel_size if isinstance(kernel_size, tuple) else (kernel_size,) * len(grid)
            args["rpb"] = randn(count, *(2 * k - 1 for k in sizes))
        return {**args, "kernel_size": kernel_size, **rest}

    return Example(name, make, bench)


EXAMPLES = (
    _example("sequence", (23,), (2, 2, 8, 8), 7, stride=3),
    _example("sequence_lse", (19,), (2, 2, 5, 5), 6, dilation=2, return_lse=True),
    _example("causal", (29,), (4, 2, 8, 8), 5, stride=2, dilation=3, is_causal=True, extra=2),
    _example("image", (9, 11), (2, 2, 16, 16), (3, 5), batch=2),
    _example("image_bias", (7, 8), (2, 2, 8, 8), (4, 3), dilation=(1, 2), bias=True),
    _example("image_wide_values", (8, 7), (4, 2, 8, 20), (3, 4), scale=0.3, return_lse=True),
    _example("empty_batch", (6, 5), (2, 2, 8, 8), 3, batch=0),
    _example("video", (5, 7, 6), (3, 1, 8, 8), (3, 2, 4), stride=(2, 1, 3), dilation=(1, 3, 1),
             is_causal=(True, False, True), extra=3, return_lse=True),
    _example("bench_sequence", (4096,), (4, 4, 64, 64), 127, bench=True),
    _example("bench_image_7", (56, 56), (4, 4, 32, 32), 7, bench=True),
    _example("bench_image_13", (64, 64), (4, 4, 64, 64), 13, bench=True),
    _example("bench_image_strided", (64, 64), (4, 4, 64, 64), 13, bench=True, stride=4),
    _example("bench_video", (16, 16, 16), (4, 4, 64, 64), 5, bench=True),
)  # fmt: skip
