"""A cache for transformers models that merges tokens instead of keeping or evicting them.

::

    model.set_attn_implementation("kernelmill_kvmerge")
    cache = KVMergerCache(ratio=0.5)
    model.generate(**inputs, cache=cache)  # past_key_values=cache in older transformers

The attention function is needed: it scores the tokens, lets a slot count for all of its tokens, and
merges a layer as soon as its prefill has been attended to. Needs ``pip install 'kernelmill[hf]'``.

Source: KVMerger, arXiv 2407.08454; `kernelmill.ops.kv_merge` says where we differ.
"""

from __future__ import annotations

import inspect
import weakref
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor

from kernelmill.ops.kv_merge import KVMerged, attention_column_sums, kv_merge
from kernelmill.ops.kv_merge.attention import log_counts, slot_attention

try:
    from transformers import AttentionInterface
    from transformers.cache_utils import Cache, DynamicLayer
    from transformers.integrations.sdpa_attention import sdpa_attention_forward
    from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS, sdpa_mask
except ImportError as error:  # also an older transformers
    raise ImportError(
        "KVMergerCache needs transformers 5.2 or newer: pip install 'kernelmill[hf]'"
    ) from error

ATTENTION = "kernelmill_kvmerge"
CHUNK = 256  # queries whose probabilities are held at once


def cache_argument(model: Any) -> str:
    """What ``forward`` and ``generate`` of a transformers model call their cache: ``cache``, or
    ``past_key_values`` before that was renamed."""
    known = inspect.signature(model.forward).parameters
    return "cache" if "cache" in known else "past_key_values"


@dataclass(frozen=True)
class KVMergerConfig:
    """What `KVMergerCache` does; see there."""

    ratio: float | None = None
    budget: int | None = None
    threshold: float | None = None
    recent: float = 0.17
    heavy: float = 0.12
    sigma: float | str = "adaptive"
    mass: str = "bias"
    score_window: int | None = None
    slack: int = 32
    decoding: bool = True
    skip_layers: tuple[int, ...] = ()
    max_set: int | None = None

    def __post_init__(self) -> None:
        given = [n for n in ("ratio", "budget", "threshold") if getattr(self, n) is not None]
        if len(given) != 1:
            said = ", ".join(given) or "none"
            raise ValueError(f"ratio, budget, threshold: got {said}, wanted one of the three")
        if self.ratio is not None and not 0 < self.ratio <= 1:
            raise ValueError(f"ratio: got {self.ratio}, wanted the share to keep, in (0, 1]")
        if self.budget is not None and self.budget < 1:
            raise ValueError(f"budget: got {self.budget}, wanted at least 1 slot")
        for name in ("recent", "heavy"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name}: got {getattr(self, name)}, wanted a share in [0, 1)")
        if self.slack < 0:
            raise ValueError(f"slack: got {self.slack}, wanted at least 0 tokens")

    def target(self, seen: int, slots: int) -> int:
        """Slots that a layer may have after ``seen`` tokens."""
        if self.budget is not None:
            return self.budget
        return slots if self.ratio is None else max(1, int(self.ratio * seen))


PRESETS = {
    "default-50": KVMergerConfig(ratio=0.5),
    "default-35": KVMergerConfig(ratio=0.35, recent=0.08, heavy=0.02),
    "paper-50": KVMergerConfig(threshold=0.75, mass="value"),
    "paper-35": KVMergerConfig(threshold=0.75, recent=0.08, heavy=0.02, mass="value"),
}


class KVMergerLayer(DynamicLayer):
    """Keys and values of one layer, the count of each slot, and its attention so far."""

    is_croppable = True

    def __init__(self, config: KVMergerConfig, merges: bool = True):
        super().__init__()
        self.config, self.merges = config, merges
        self._forget()

    def _forget(self) -> None:
        self.counts: Tensor | None = None
        self.scores: Tensor | None = None
        self.seen = 0
        self.merged = False  # has any slot been merged or evicted?
        self.waiting = False  # for the attention function

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        if self.waiting:
            raise RuntimeError(
                "KVMergerCache got tokens but no attention: call "
                f"model.set_attn_implementation({ATTENTION!r}) before using it"
            )
        super().update(key_states, value_states, *args, **kwargs)
        new = key_states.shape[:3]
        ones = torch.ones(new, dtype=torch.int32, device=key_states.device)
        zeros = torch.zeros(new, dtype=torch.float32, device=key_states.device)
        if self.counts is None:
            self.counts, self.scores = ones, zeros
        else:
            self.counts = torch.cat([self.counts, ones], 2)
            self.scores = torch.cat([self.scores, zeros], 2)
        self.seen += new[2]
        self.waiting = True
        self.keys._kernelmill_layer = weakref.ref(self)  # how the attention function finds it
        return self.keys, self.values

    def load(self, merged: KVMerged, scores: Tensor, seen: int) -> None:
        """Start from a merged prefix of ``seen`` tokens; ``scores`` (B, H, L) of its slots."""
        self.lazy_initialization(merged.keys, merged.values)
        self.keys, self.values, self.counts = merged.keys, merged.values, merged.counts
        self.scores, self.seen, self.merged = scores, seen, True

    def get_seq_length(self) -> int:
        """Tokens seen, which positions go by; `slots` are fewer."""
        return self.seen

    def get_mask_sizes(self, query_length: Any) -> tuple[int, int]:
        """Slots with the new tokens, and how far their numbers are behind the positions."""
        new = query_length if isinstance(query_length, int) else query_length.shape[0]
        return self.slots + new, self.seen - self.slots

    @property
    def slots(self) -> int:
        return self.keys.shape[2] if self.is_initialized and self.keys.numel() else 0

    def attend(
        self, module: Any, query: Tensor, mask: Tensor | None, scaling: float | None,
        dropout: float, **kwargs: Any,
    ) -> tuple[Tensor, None]:  # fmt: skip
        """The attention of new queries over the slots; afterwards the slots are merged."""
        keys, values = self.keys, self.values
        new = query.shape[2]
        first = not self.merged and self.slots == new
        padded = first and mask is not None
        if padded:
            self._leave_out_padding(mask)
        scale = query.shape[3] ** -0.5 if scaling is None else scaling
        bias = None if first and not padded else self._bias(query)
        if not first and new == 1 and not dropout:
            by_count = self.config.mass == "bias"
            output = slot_attention(query, keys, values, self.counts, scale, by_count)
            output = output.transpose(1, 2).contiguous()
        elif not first:
            groups = query.shape[1] // keys.shape[1]
            output = torch.nn.functional.scaled_dot_product_attention(
                query, keys.repeat_interleave(groups, 1), values.repeat_interleave(groups, 1),
                attn_mask=bias.repeat_interleave(groups, 1), dropout_p=dropout, scale=scale,
            ).transpose(1, 2).contiguous()  # fmt: skip
        else:
            output, _ = sdpa_attention_forward(
                module, query, keys, values, mask, dropout=dropout, scaling=scaling, **kwargs
            )
        self.waiting = False
        if self.merges and (first or self.config.decoding):
            with torch.no_grad():
                self._score(query, keys, bias, scale)
                self._shrink(first)
        return output, None

    def _score(self, query: Tensor, keys: Tensor, bias: Tensor | None, scale: float) -> None:
        """Add the attention that each slot gets."""
        if self.config.score_window is not None:
            query = query[:, :, -self.config.score_window :]
        if bias is None:
            sums = attention_column_sums(query, keys, scale=scale)
        else:
            sums = _column_sums(query, keys, bias[:, :, -query.shape[2] :], scale)
        self.scores = self.scores + sums.float()

    def _leave_out_padding(self, mask: Tensor) -> None:
        real = mask[:, 0, -1, :] if mask.dtype == torch.bool else mask[:, 0, -1, :] == 0
        real = real[:, None, -self.slots :]
        self.counts = self.counts * real
        # alike, so that they are merged before anything else is
        self.keys = torch.where(real.unsqueeze(-1), self.keys, torch.ones_like(self.keys))
        self.values = self.values * real.unsqueeze(-1)

    def _bias(self, query: Tensor) -> Tensor:
        """(B, H, Q, L): log counts, and no look ahead among the new tokens."""
        new, slots = query.shape[2], self.slots
        bias = log_counts(self.counts, query.dtype, self.config.mass == "bias").unsqueeze(2)
        place = torch.arange(slots, device=query.device)
        ahead = place > place[slots - new :, None]
        bias = bias.expand(-1, -1, new, -1).masked_fill(ahead, -torch.inf)
        blind = torch.isneginf(bias).all(-1, keepdim=True)  # a padded query sees nothing: let it
        return bias.masked_fill(blind, 0.0)

    def _shrink(self, first: bool) -> None:
        config, slots = self.config, self.slots
        target = config.target(self.seen, slots)
        if slots <= target + (0 if first else config.slack) and config.threshold is None:
            return
        if config.threshold is not None and not first:
            return  # by threshold a prefill is merged once
        how = {"threshold": config.threshold} if config.threshold is not None else {
            "budget": target
        }  # fmt: skip
        recent, heavy = (
            min(int(share * self.seen), slots) for share in (config.recent, config.heavy)
        )
        merged = kv_merge(
            self.keys.detach(), self.values.detach(), self.scores, recent=recent, heavy=heavy,
            sigma=config.sigma, mass=config.mass, counts=self.counts, max_set=config.max_set, **how,
        )  # fmt: skip
        self.scores = slot_sums(self.scores, merged)
        self.keys, self.values, self.counts = merged.keys, merged.values, merged.counts
        self.merged = True

    def crop(self, tokens_to_remove: int) -> None:
        """Take back the last tokens (a negative number), as long as none of them is merged."""
        count = abs(tokens_to_remove)
        if tokens_to_remove > 0:
            raise ValueError("crop: wanted a negative number, how many tokens to take back")
        if not count or not self.is_initialized:
            return
        if count > self.slots or bool((self.counts[..., -count:] != 1).any()):
            raise ValueError(f"crop: the last {count} tokens are no longer apart: they were merged")
        for name in ("keys", "values"):
            setattr(self, name, getattr(self, name)[:, :, :-count].clone())
        self.counts, self.scores = self.counts[..., :-count], self.scores[..., :-count]
        self.seen -= count

    def _each(self, change: Any) -> None:
        if self.slots:
            for name in ("keys", "values", "counts", "scores"):
                setattr(self, name, change(getattr(self, name)))

    def batch_repeat_interleave(self, repeats: int) -> None:
        self._each(lambda x: x.repeat_interleave(repeats, dim=0))

    def batch_select_indices(self, indices: Tensor) -> None:
        self._each(lambda x: x[indices])

    def reorder_cache(self, beam_idx: Tensor) -> None:
        self._each(lambda x: x.index_select(0, beam_idx.to(x.device)))

    def reset(self) -> None:
        self._forget()
        super().reset()
        self.keys = self.values = None  # transformers 5.2 keeps them, zeroed
        self.is_initialized = False


def slot_sums(scores: Tensor, merged: KVMerged) -> Tensor:
    """Scores of tokens (B, H, T), summed over each slot: (B, H, L)."""
    width, ids = merged.keys.shape[2], merged.set_ids.long()
    sums = scores.new_zeros(*scores.shape[:2], width + 1)
    return sums.scatter_add(2, torch.where(ids < 0, width, ids), scores)[..., :width]


def _column_sums(query: Tensor, keys: Tensor, bias: Tensor, scale: float) -> Tensor:
    """Column sums under a bias (B, H, Q, L), in chunks of queries."""
    batch, heads, slots = keys.shape[:3]
    grouped = query.unflatten(1, (heads, -1))
    sums = torch.zeros(batch, heads, slots, device=keys.device)
    for first in range(0, query.shape[2], CHUNK):
        logits = scale * grouped[:, :, :, first : first + CHUNK] @ keys.unsqueeze(2).mT
        logits = logits.float() + bias[:, :, None, first : first + CHUNK].float()
        sums += logits.softmax(-1).sum(-2).mean(2)
    return sums


class KVMergerCache(Cache):
    """A key-value cache that merges alike neighbours, per layer and head.

    Use with ``model.set_attn_implementation("kernelmill_kvmerge")``; without it the second forward
    call raises. Positions of new tokens are those of the tokens seen, never those of the slots, in
    ``generate`` and in direct calls.

    Args:
        ratio: the share of all tokens seen that a layer keeps as slots. budget: or a fixed number
            of slots. threshold: or merge what is more alike than that, once, after the prefill
            (the paper's way; heads then differ in length, and the longest decides the memory).
        recent, heavy: shares of the tokens that are not merged: the last ones, and the most
            attended ones. Defaults are those of the paper for a half.
        sigma, mass, max_set: see `kernelmill.ops.kv_merge`; ``mass="value"`` is the paper's.
        score_window: score by the last so many queries of the prefill only.
        decoding: merge again whenever a layer is ``slack`` slots over its target.
        skip_layers: numbers of layers that are not merged.

    Raises:
        ImportError: the extra ``hf`` is not installed. ValueError: see the arguments.

    Example::

        >>> from transformers import LlamaConfig, LlamaForCausalLM
        >>> model = LlamaForCausalLM(LlamaConfig(
        ...     vocab_size=50, hidden_size=32, intermediate_size=32, num_hidden_layers=2,
        ...     num_attention_heads=4, num_key_value_heads=2)).eval()
        >>> model.set_attn_implementation("kernelmill_kvmerge")
        >>> cache = KVMergerCache(ratio=0.5)
        >>> ids = torch.arange(40).unsqueeze(0)
        >>> named = {cache_argument(model): cache}  # cache=cache; once past_key_values=cache
        >>> out = model.generate(ids, **named, max_new_tokens=3, do_sample=False)
        >>> cache.get_seq_length(), cache.layers[0].slots  # 20 of 40, and two new ones
        (42, 22)
    """

    def __init__(self, config: KVMergerConfig | None = None, **options: Any):
        known = {field.name for field in fields(KVMergerConfig)}
        unknown = sorted(set(options) - known)
        if unknown:
            raise TypeError(f"{unknown[0]}: no such option; known: {', '.join(sorted(known))}")
        self.config = KVMergerConfig(**options) if config is None else replace(config, **options)

        def layer() -> KVMergerLayer:
            return KVMergerLayer(self.config, len(self.layers) not in self.config.skip_layers)

        super().__init__(layer_class_to_replicate=layer)

    @classmethod
    def preset(cls, name: str, **options: Any) -> KVMergerCache:
        """``default-50``, ``default-35``, ``paper-50`` or ``paper-35``, with changes."""
        if name not in PRESETS:
            raise ValueError(f"name: got {name!r}, wanted one of {', '.join(PRESETS)}")
        return cls(PRESETS[name], **options)

    def compression_report(self) -> list[dict[str, int]]:
        """For each layer: tokens seen, slots, bytes held, and bytes without merging."""
        rows = []
        for layer in self.layers:
            held = sum(x.untyped_storage().nbytes() for x in (layer.keys, layer.values))
            per_token = sum(
                x.shape[0] * x.shape[1] * x.shape[3] * x.element_size()
                for x in (layer.keys, layer.values)
            )
            rows.append({"seen": layer.seen, "slots": layer.slots, "bytes": held,
                         "bytes_unmerged": per_token * layer.seen})  # fmt: skip
        return rows


def kv_merge_attention(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """What transformers calls; plain SDPA where the cache is another one."""
    found = getattr(key, "_kernelmill_layer", None)
    layer = found() if found is not None else None
    if layer is None:
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **kwargs
        )
    if getattr(module, "sliding_window", None):
        raise ValueError("KVMergerCache: models with sliding-window layers are not supported")
    return layer.attend(module, query, attention_mask, scaling, dropout, **kwargs)


AttentionInterface.register(ATTENTION, kv_merge_attention)
ALL_MASK_ATTENTION_FUNCTIONS.register(ATTENTION, sdpa_mask)
