"""KVMerger as a press: ``with press(model): ...`` merges the cache of a prefill.

A press is kvpress's word (NVIDIA) for what shortens a `DynamicCache` in a hook of every attention
layer. `KVMergerPress` has the same methods and works in kvpress's pipeline and on its own; kvpress
need not be installed. Needs ``pip install 'kernelmill[hf]'``.

Source: KVMerger, arXiv 2407.08454; `kernelmill.ops.kv_merge` says where we differ.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from kernelmill.models.kv_compressors import protected_shares
from kernelmill.models.kv_merger import (  # which says what is missing without transformers
    ATTENTION,
    DynamicLayer,
    KVMergerConfig,
    KVMergerLayer,
    slot_sums,
)
from kernelmill.ops.kv_merge import KVMerged, attention_column_sums, kv_merge
from kernelmill.ops.kv_merge.checks import check_mass


@dataclass
class KVMergerPress:
    """Merge the cache of a prefill to a share of its tokens.

    Only a `DynamicCache` is taken, and no padding. Positions of later tokens are the caller's, as
    with every press: ``generate`` inside the context and kvpress's pipeline give true ones; for
    direct calls use `KVMergerCache`, or pass ``position_ids``.

    Args:
        compression_ratio: the share of tokens that goes (kvpress's convention), in [0, 1).
        mass: ``"bias"`` is exact where keys and values of a set are equal, and needs
            ``model.set_attn_implementation("kernelmill_kvmerge")``; ``"value"`` (the paper's) and
            ``"none"`` work with any attention. See `kernelmill.ops.kv_merge`.
        recent, heavy: shares of the tokens that are not merged; default: the paper's, 0.17 and
            0.12 where half or more stays, else 0.08 and 0.02.
        sigma, max_set: see `kernelmill.ops.kv_merge`.
        score_window: score tokens by the last so many queries only.

    Raises:
        ValueError: an argument does not fit; the model's attention ignores counts; a cache is not
            a `DynamicCache`, is padded, or was compressed before.

    Example::

        >>> from transformers import DynamicCache, LlamaConfig, LlamaForCausalLM
        >>> model = LlamaForCausalLM(LlamaConfig(
        ...     vocab_size=50, hidden_size=32, intermediate_size=32, num_hidden_layers=2,
        ...     num_attention_heads=4, num_key_value_heads=2)).eval()
        >>> model.set_attn_implementation("kernelmill_kvmerge")
        >>> with torch.no_grad(), KVMergerPress(compression_ratio=0.75)(model):
        ...     out = model(torch.arange(40).unsqueeze(0), use_cache=True)
        >>> out[1].layers[0].keys.shape
        torch.Size([1, 2, 10, 8])
    """

    compression_ratio: float = 0.5
    mass: str = "bias"
    recent: float | None = None
    heavy: float | None = None
    sigma: float | str = "adaptive"
    max_set: int | None = None
    score_window: int | None = None
    _active: bool = field(default=False, init=False, repr=False, compare=False)
    _projected: dict[Any, Tensor] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        if not 0 <= self.compression_ratio < 1:
            raise ValueError(
                f"compression_ratio: got {self.compression_ratio}, wanted the share that goes, in "
                "[0, 1)"
            )
        check_mass(self.mass)
        for name in ("recent", "heavy"):
            share = getattr(self, name)
            if share is not None and not 0 <= share < 1:
                raise ValueError(f"{name}: got {share}, wanted a share in [0, 1) or None")

        if self.score_window is not None and self.score_window < 1:
            raise ValueError(
                f"score_window: got {self.score_window}, wanted at least 1 query or None"
            )

    def post_init_from_model(self, model: Any) -> None:
        """Nothing to learn from the model (kvpress calls this)."""

    def compress(
        self, module: Any, hidden_states: Tensor, keys: Tensor, values: Tensor,
        attentions: Tensor | None, kwargs: dict,
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        """Merged keys and values, for other people's hooks. With ``mass="bias"`` this raises, as
        the counts would be lost."""
        if self.mass == "bias":
            raise ValueError(
                "compress: it returns keys and values alone, and mass='bias' needs the counts; use "
                "`with press(model):`, or mass='value'"
            )
        return self._merge(module, hidden_states, keys, values, attentions, kwargs)[0][:2]

    def forward_hook(self, module: Any, args: Any, kwargs: dict, output: Any) -> Any:
        """Behind every attention layer: merge its cache if this was the prefill."""
        projected = self._projected.pop(getattr(module, _projection(module)), None)
        cache = kwargs.get("cache", kwargs.get("past_key_values"))
        if cache is None:
            raise ValueError("KVMergerPress: the model was called without a cache")
        hidden = kwargs["hidden_states"] if "hidden_states" in kwargs else args[0]
        at, new = module.layer_idx, hidden.shape[1]
        layer = cache.layers[at]
        if type(layer) is not DynamicLayer and not isinstance(layer, _PressedLayer):
            raise ValueError(
                f"KVMergerPress: layer {at} has a {type(layer).__name__}, wanted a DynamicCache"
            )
        held = layer.keys.shape[2]
        if held > new:  # decoding
            return output
        if held < new:
            raise ValueError(f"KVMergerPress: the cache of layer {at} was compressed before")
        given = (hidden, layer.keys, layer.values, output[1], kwargs, projected)
        merged, scores = self._merge(module, *given)
        if self.mass == "bias":
            cache.layers[at] = _PressedLayer(merged, scores, new)
        else:
            layer.keys, layer.values = merged.keys, merged.values
        return output

    @contextmanager
    def __call__(self, model: Any) -> Iterator[None]:
        """Merge what is prefilled inside the context."""
        if self._active:
            raise ValueError("KVMergerPress: this press is at work already")
        used = model.config._attn_implementation
        if self.mass == "bias" and used != ATTENTION:
            raise ValueError(
                f"mass: got 'bias', but the model's attention is {used!r}, which ignores counts; "
                f"call model.set_attn_implementation({ATTENTION!r}), or take mass='value'"
            )
        layers = [m for m in model.modules() if hasattr(m, "layer_idx") and _projection(m)]
        if not layers:
            raise ValueError("model: got no attention layer with q_proj or qkv_proj")
        hooks = []
        self._active = True
        try:
            for layer in layers:
                hooks.append(layer.register_forward_hook(self.forward_hook, with_kwargs=True))
                projection = getattr(layer, _projection(layer))
                hooks.append(projection.register_forward_hook(self._keep_projected))
            yield
        finally:
            self._active = False
            self._projected.clear()
            for hook in hooks:
                hook.remove()

    def _keep_projected(self, projection: Any, args: Any, output: Tensor) -> None:
        self._projected[projection] = output  # until the layer is done: it is not computed twice

    def _merge(
        self, module: Any, hidden: Tensor, keys: Tensor, values: Tensor, attentions: Tensor | None,
        kwargs: dict, projected: Tensor | None = None,
    ) -> tuple[KVMerged, Tensor]:  # fmt: skip
        if getattr(module, "sliding_window", None):
            raise ValueError("KVMergerPress: layers with a sliding window are not supported")
        if _padded(kwargs.get("attention_mask")):
            raise ValueError("attention_mask: padding is for KVMergerCache, a press takes none")
        total, keep = keys.shape[2], 1 - self.compression_ratio
        shares = protected_shares(keep)
        recent, heavy = (
            int((default if given is None else given) * total)
            for given, default in zip((self.recent, self.heavy), shares, strict=True)
        )
        with torch.no_grad():
            scores = self._scores(module, hidden, keys, attentions, kwargs, projected)
            merged = kv_merge(
                keys, values, scores, budget=max(1, int(keep * total)), recent=recent, heavy=heavy,
                sigma=self.sigma, mass=self.mass, max_set=self.max_set,
            )  # fmt: skip
        return merged, slot_sums(scores.float(), merged)

    def _scores(
        self, module: Any, hidden: Tensor, keys: Tensor, attentions: Tensor | None, kwargs: dict,
        projected: Tensor | None,
    ) -> Tensor:  # fmt: skip
        last = self.score_window or keys.shape[2]
        if attentions is not None:
            return attentions[:, :, -last:].sum(2).unflatten(1, (keys.shape[1], -1)).mean(2)
        places = tuple(x[:, -last:] for x in kwargs["position_embeddings"])
        if projected is not None:
            projected = projected[:, -last:]
        queries = rotated_queries(module, hidden[:, -last:], places, projected)
        return attention_column_sums(queries, keys, scale=getattr(module, "scaling", None))


def rotated_queries(
    module: Any, hidden: Tensor, position_embeddings: tuple, projected: Tensor | None = None
) -> Tensor:
    """An attention layer's queries (B, heads, Q, d), as its own forward makes them.

    ``projected``: what its projection gave, if that is at hand.
    """
    name = _projection(module)
    queries = getattr(module, name)(hidden) if projected is None else projected
    if name == "qkv_proj":
        queries = queries[..., : module.config.num_attention_heads * module.head_dim]
    queries = queries.unflatten(-1, (-1, module.head_dim))
    if hasattr(module, "q_norm"):
        queries = module.q_norm(queries)
    queries = queries.transpose(1, 2)
    rotate = sys.modules[type(module).__module__].apply_rotary_pos_emb
    return rotate(queries, queries, *position_embeddings)[0]


class _PressedLayer(KVMergerLayer):
    """A merged layer by kvpress's conventions: its length is that of its slots, it is not merged
    again, and who cuts its keys off (kvpress does, after an answer) cuts the counts off."""

    def __init__(self, merged: KVMerged, scores: Tensor, seen: int):
        super().__init__(KVMergerConfig(ratio=1.0, decoding=False), merges=False)
        self.load(merged, scores, seen)

    def update(self, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        left = self.keys.shape[2]
        self.seen -= self.counts.shape[2] - left
        self.counts, self.scores = self.counts[..., :left], self.scores[..., :left]
        return super().update(*args, **kwargs)

    def get_seq_length(self) -> int:
        return self.slots

    def get_mask_sizes(self, query_length: Any) -> tuple[int, int]:
        new = query_length if isinstance(query_length, int) else query_length.shape[0]
        return self.slots + new, 0


def _projection(module: Any) -> str | None:
    return next((name for name in ("q_proj", "qkv_proj") if hasattr(module, name)), None)


def _padded(mask: Tensor | None) -> bool:
    """Is there a token that the last query does not see?"""
    if mask is None:
        return False
    if mask.dim() == 2:
        return not bool(mask.all())
    last = mask[:, 0, -1]
    return not bool(last.all() if last.dtype == torch.bool else (last == 0).all())
