"""Merging a key-value cache beside PyTorch compositions, and beside copying the cache.

    python benchmarks/ops/kv_merge.py [--threads 1 2] [--rounds 15] [--tokens 4096]
    python benchmarks/ops/kv_merge.py --mode cost [--tokens 8192]

Correctness first. In each round all of them run once; printed are medians of times and of the
ratios within rounds. ``cost``: merging and scoring a layer of 32 heads, beside the causal attention
(`scaled_dot_product_attention`) of its prefill.
"""

from __future__ import annotations

import argparse
import statistics

import torch
from harness import rounds

from kernelmill.ops import native_status
from kernelmill.ops.kv_merge import attention_column_sums, kv_merge
from kernelmill.ops.registry import use_backend


def chunked_sums(queries, keys, rows=256):
    """Softmax and column sums in chunks of queries, as one writes it."""
    total, width = keys.shape[2:]
    groups = queries.shape[1] // keys.shape[1]
    wide = keys.repeat_interleave(groups, 1)
    sums = torch.zeros(*queries.shape[:2], total)
    place = torch.arange(total)
    for first in range(0, total, rows):
        logits = queries[:, :, first : first + rows] @ wide.transpose(-1, -2) * width**-0.5
        logits.masked_fill_(place > place[first : first + rows, None], float("-inf"))
        sums += logits.softmax(-1).sum(-2)
    return sums.unflatten(1, (-1, groups)).mean(2)


def show(times: dict[str, list[float]], base: str) -> None:
    for name, found in times.items():
        ratio = statistics.median(o / b for o, b in zip(found, times[base], strict=True))
        print(f"  {name:28}{1e3 * statistics.median(found):10.2f} ms  {ratio:9.3f} x {base}")


def cost(options: argparse.Namespace) -> None:
    """A layer of 32 heads: what KVMerger adds to its prefill."""
    heads, width, tokens = 32, 128, options.tokens or 8192
    generator = torch.Generator().manual_seed(0)
    queries, keys, values = (
        torch.randn(1, heads, tokens, width, generator=generator) for _ in range(3)
    )
    scores = attention_column_sums(queries, keys, window=64)
    settings = {"budget": tokens // 2, "recent": int(0.17 * tokens), "heavy": int(0.12 * tokens)}
    attention = torch.nn.functional.scaled_dot_product_attention
    for threads in options.threads:
        torch.set_num_threads(threads)
        print(f"(1, {heads}, {tokens}, {width}) float32, {threads} threads")
        show(
            rounds({"causal attention": lambda: attention(queries, keys, values, is_causal=True),
                  "kv_merge to a half": lambda: kv_merge(keys, values, scores, **settings),
                  "copy of K and V": lambda: (keys.clone(), values.clone()),
                  "column sums": lambda: attention_column_sums(queries, keys),
                  "column sums, window of 64":
                      lambda: attention_column_sums(queries, keys, window=64)},
                 options.rounds, warm=1),
            "causal attention",
        )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mode", choices=("peers", "cost"), default="peers")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--tokens", type=int)
    options = parser.parse_args()
    print(native_status().reason)
    (cost if options.mode == "cost" else peers)(options)


def peers(options: argparse.Namespace) -> None:
    heads, groups, width, tokens = 8, 4, 128, options.tokens or 4096
    generator = torch.Generator().manual_seed(0)
    steps = torch.randn(1, heads, tokens, width, generator=generator)
    keys = (steps * 0.3).cumsum(2) / 3 + steps * 0.5
    values = torch.randn(1, heads, tokens, width, generator=generator)
    queries = torch.randn(1, heads * groups, tokens, width, generator=generator)
    scores = torch.rand(1, heads, tokens, generator=generator)
    settings = {"budget": tokens // 2, "recent": int(0.17 * tokens), "heavy": int(0.12 * tokens)}

    def ours():
        return kv_merge(keys, values, scores, **settings)

    def torch_version():
        with use_backend("reference"):
            return kv_merge(keys, values, scores, **settings)

    a, b = ours(), torch_version()
    assert torch.equal(a.set_ids, b.set_ids)
    torch.testing.assert_close(a.keys, b.keys, rtol=1e-4, atol=1e-4)
    few = queries[:, :, -512:]
    wanted = chunked_sums(few, keys[:, :, -512:])
    torch.testing.assert_close(
        attention_column_sums(few, keys[:, :, -512:]), wanted, rtol=1e-3, atol=1e-3
    )
    for threads in options.threads:
        torch.set_num_threads(threads)
        print(f"merge (1, {heads}, {tokens}, {width}) float32 to a half, {threads} threads")
        show(
            rounds({"kv_merge": ours, "scatter_add": torch_version,
                  "copy of K and V": lambda: (keys.clone(), values.clone())}, options.rounds),
            "kv_merge",
        )  # fmt: skip
        print(f"column sums, {heads * groups} query heads, {threads} threads")
        show(
            rounds({"attention_column_sums": lambda: attention_column_sums(queries, keys),
                  "window of 64": lambda: attention_column_sums(queries, keys, window=64),
                  "softmax and sum in chunks": lambda: chunked_sums(queries, keys)},
                 max(3, options.rounds // 5)),
            "attention_column_sums",
        )  # fmt: skip


if __name__ == "__main__":
    main()
