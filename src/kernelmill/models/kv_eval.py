"""What a compressed key-value cache costs a transformers model, and what it saves.

::

    report = evaluate_cache(model, tokens, "kvmerger", share=0.5)

Text is taken in windows; a prefix of each is compressed by a method of
`kernelmill.models.kv_compressors`, and the model reads on. Needs ``pip install 'kernelmill[hf]'``.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from kernelmill.models.kv_compressors import COMPRESSORS, attend, untouched
from kernelmill.models.kv_merger import ATTENTION, KVMergerCache, KVMergerLayer, cache_argument
from kernelmill.ops.kv_merge import KVMerged

STEPS = 8  # decoded tokens that are timed


@dataclass(frozen=True)
class CacheReport:
    """Means over windows; ``full_...``: the same with the whole cache.

    Attributes:
        press, share: the method, and the share of the prefix that stays.
        windows, prefix, scored: how many windows, tokens of a prefix, tokens predicted in all.
        perplexity: of the tokens behind the prefix.
        attention_error: ``|o - o_full| / |o_full|`` of the attention outputs of the new tokens,
            mean over layers; the queries are those of the uncompressed run.
        bytes: keys and values that a prefix holds.
        compress_seconds: scoring and compressing all layers, once.
        step_seconds: decoding one token behind the prefix (median).
    """

    press: str
    share: float
    windows: int
    prefix: int
    scored: int
    perplexity: float
    full_perplexity: float
    attention_error: float
    bytes: int
    full_bytes: int
    compress_seconds: float
    step_seconds: float
    full_step_seconds: float


def evaluate_cache(
    model: Any, tokens: Tensor, press: str = "kvmerger", share: float = 0.5, *,
    prefix: int = 512, new: int = 128, windows: int = 8,
) -> CacheReport:  # fmt: skip
    """Compress prefixes of a text and let the model read on.

    Args:
        model: a causal language model of transformers, in eval mode.
        tokens: (N,) ids of the text.
        press: a name of `kernelmill.models.kv_compressors.COMPRESSORS`.
        share: of the prefix, that stays.
        prefix, new: tokens that are compressed, and tokens behind them. windows: at most so many,
            evenly spaced.

    Raises:
        ValueError: an argument does not fit, or the text is shorter than one window.
    """
    if press not in COMPRESSORS:
        raise ValueError(f"press: got {press!r}, wanted one of {', '.join(COMPRESSORS)}")
    if not 0 < share <= 1:
        raise ValueError(f"share: got {share}, wanted the share to keep, in (0, 1]")
    if prefix < 1 or new < 2 or windows < 1:
        raise ValueError(
            f"prefix, new, windows: got {prefix}, {new}, {windows}; wanted at least 1, 2, 1"
        )
    most = getattr(model.config, "max_position_embeddings", None) or math.inf
    if prefix + new > most:
        raise ValueError(f"prefix, new: got {prefix} + {new} tokens, the model reads {most}")
    totals: list[tuple[float, float, float]] = []
    times: dict[str, list[float]] = {"compress": [], "step": [], "full": []}
    sizes = (0, 0)
    with torch.no_grad(), _attention(model):
        for row in _windows(tokens, prefix + new, windows):
            row = row.to(model.device).unsqueeze(0)
            layers, logits = _record(model, row)
            full_loss = _loss(logits[:, prefix:-1], row[:, prefix + 1 :])
            start = time.perf_counter()
            caches = [
                COMPRESSORS[press](*(x[:, :, :prefix] for x in layer), share) for layer in layers
            ]
            times["compress"].append(time.perf_counter() - start)
            whole = [untouched(k[:, :, :prefix], v[:, :, :prefix]) for _, k, v in layers]
            error = statistics.fmean(
                _error(layer, prefix, cache, full)
                for layer, cache, full in zip(layers, caches, whole, strict=True)
            )
            logits = _forward(model, row[:, prefix:-1], _loaded(caches, prefix))
            totals.append((_loss(logits, row[:, prefix + 1 :]), full_loss, error))
            times["step"] += _steps(model, row[:, prefix:], _loaded(caches, prefix))
            times["full"] += _steps(model, row[:, prefix:], _loaded(whole, prefix))
            sizes = _bytes(caches), _bytes(whole)
    loss, full_loss, error = (statistics.fmean(column) for column in zip(*totals, strict=True))
    return CacheReport(
        press, share, len(totals), prefix, len(totals) * (new - 1), math.exp(loss),
        math.exp(full_loss), error, *sizes, statistics.fmean(times["compress"]),
        statistics.median(times["step"]), statistics.median(times["full"]),
    )  # fmt: skip


def evaluate_file(model: str, text: Path, press: str, share: float, **options: Any) -> CacheReport:
    """`evaluate_cache` with a model that transformers loads (a folder or a hub's name) and a text
    file.

    Raises:
        ValueError: the model cannot be loaded; see also `evaluate_cache`.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer

    words = text.read_text(encoding="utf-8")
    try:
        tokenizer = AutoTokenizer.from_pretrained(model)
        loaded = AutoModelForCausalLM.from_pretrained(model).eval()
    except OSError as error:
        raise ValueError(f"model: {error}") from error
    tokens = torch.tensor(tokenizer(words)["input_ids"])
    return evaluate_cache(loaded, tokens, press, share, **options)


class _Recording(KVMergerLayer):
    """A layer that remembers the queries and merges nothing."""

    def attend(self, module: Any, query: Tensor, *args: Any, **kwargs: Any) -> Any:
        self.query = query
        return super().attend(module, query, *args, **kwargs)


@contextmanager
def _attention(model: Any) -> Iterator[None]:
    before = model.config._attn_implementation
    model.set_attn_implementation(ATTENTION)
    try:
        yield
    finally:
        model.set_attn_implementation(before)


def _windows(tokens: Tensor, length: int, most: int) -> Iterator[Tensor]:
    count = min(most, len(tokens) // length)
    if not count:
        raise ValueError(f"text: got {len(tokens)} tokens, a window takes {length}")
    step = (len(tokens) - length) // max(count - 1, 1)
    for i in range(count):
        yield tokens[i * step : i * step + length]


def _forward(model: Any, row: Tensor, cache: KVMergerCache) -> Tensor:
    return model(row, **{cache_argument(model): cache}).logits


def _record(model: Any, row: Tensor) -> tuple[list[tuple[Tensor, Tensor, Tensor]], Tensor]:
    """(queries, keys, values) of each layer, and the logits."""
    cache = KVMergerCache(ratio=1.0)
    cache.layer_class_to_replicate = lambda: _Recording(cache.config, merges=False)
    logits = _forward(model, row, cache)
    return [(layer.query, layer.keys, layer.values) for layer in cache.layers], logits


def _loaded(layers: list[KVMerged], seen: int) -> KVMergerCache:
    cache = KVMergerCache(ratio=1.0)
    for merged in layers:
        layer = KVMergerLayer(cache.config, merges=False)
        layer.load(merged, merged.counts.new_zeros(merged.counts.shape).float(), seen)
        cache.layers.append(layer)
    return cache


def _loss(logits: Tensor, wanted: Tensor) -> float:
    return float(torch.nn.functional.cross_entropy(logits.flatten(0, 1).float(), wanted.flatten()))


def _error(layer: tuple, prefix: int, cache: KVMerged, whole: KVMerged) -> float:
    new = [x[:, :, prefix:] for x in layer]
    full = attend(*new, whole)
    return float((attend(*new, cache) - full).norm() / full.norm())


def _steps(model: Any, row: Tensor, cache: KVMergerCache) -> list[float]:
    """Seconds of each decoded token, the first one (warming up) left out."""
    times = []
    for i in range(min(STEPS + 1, row.shape[1])):
        start = time.perf_counter()
        float(_forward(model, row[:, i : i + 1], cache)[0, 0, 0])  # waits for the device
        times.append(time.perf_counter() - start)
    return times[1:]


def _bytes(layers: list[KVMerged]) -> int:
    return sum(x.numel() * x.element_size() for layer in layers for x in layer[:2])
