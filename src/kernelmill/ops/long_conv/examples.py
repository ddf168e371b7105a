"""Example arguments of `long_conv`: tests and benchmarks run over them."""

from __future__ import annotations

import torch

from kernelmill.ops.registry import Example


def _causal(batch, heads, length, taps, kernels=None, **options):
    """u, k, D; options: reverse (taps), offset, gates, lengths, wide (float32 kernels)."""

    def make(randn, dtype, device):
        lead = (heads,) if kernels is None else (kernels, heads)
        reverse = options.get("reverse")

        def kernel(size):
            envelope = torch.exp(-4 * torch.arange(size, device=device) / size).to(dtype)
            k = randn(*lead, size) * envelope / max(size, 1) ** 0.5
            return k.float() if options.get("wide") else k

        found = {"u": randn(batch, heads, length), "k": kernel(taps), "D": randn(*lead)}
        if reverse is not None:
            found["k_rev"] = kernel(reverse)
            found["reverse_offset"] = options.get("offset", 1)
        if options.get("gates"):
            shape = (batch, *lead, length) if options["gates"] == "each" else found["u"].shape
            found["in_gate"], found["out_gate"] = randn(*found["u"].shape), randn(*shape)
        if "lengths" in options:
            found["lengths"] = torch.tensor(options["lengths"], device=device)
        return found

    return make


def _bench(batch, heads, length):
    return Example(f"l{length}", _causal(batch, heads, length, length), bench=True)


EXAMPLES = (
    Example("causal", _causal(2, 3, 128, 128)),
    Example("odd", _causal(3, 2, 101, 101)),
    Example("few_taps", _causal(2, 3, 75, 5)),
    Example(
        "few_taps_everything",
        _causal(2, 2, 75, 5, kernels=2, reverse=4, gates="each", lengths=[75, 40]),
    ),
    Example("long_kernel", _causal(2, 2, 70, 150)),
    Example("kernels", _causal(2, 3, 96, 96, kernels=2)),
    Example("bidirectional", _causal(2, 2, 90, 90, reverse=90)),
    Example("h3_reverse", _causal(2, 2, 64, 40, kernels=2, reverse=70, offset=0)),
    Example("gates", _causal(2, 3, 80, 80, gates="all")),
    Example(
        "everything",
        _causal(3, 2, 67, 67, kernels=2, reverse=30, gates="each", lengths=[50, 67, 0], wide=True),
    ),
    Example("blocks", _causal(1, 2, 900, 70, reverse=66)),
    Example(
        "blocks_everything",
        _causal(2, 1, 700, 60, kernels=2, reverse=30, gates="each", lengths=[700, 333]),
    ),
    Example("long", _causal(1, 1, 4200, 4200, kernels=2, reverse=90, gates="all", lengths=[4100])),
    Example("one", _causal(1, 1, 1, 1)),
    Example("empty_batch", _causal(0, 2, 16, 16)),
    _bench(8, 64, 1024),
    _bench(8, 64, 4096),
    _bench(4, 64, 16384),
    _bench(1, 64, 65536),
    _bench(1, 8, 1 << 20),
)
