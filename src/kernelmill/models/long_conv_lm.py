"""A language model of long convolutions that decodes token by token."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kernelmill.models.long_conv_presets import LM_PRESETS, preset
from kernelmill.nn.h3_conv import H3Conv
from kernelmill.nn.long_conv import LongConv
from kernelmill.nn.long_conv_kernel import check_share

MIXERS = ("h3", "long_conv")


@dataclass
class KeyValues:
    """Keys and values of past tokens, (B, heads, t, d / heads)."""

    keys: Tensor
    values: Tensor


class CausalAttention(nn.Module):
    """Causal attention without positions, which the convolutions around it tell."""

    def __init__(self, d_model: int, n_heads: int, **where: Any) -> None:
        super().__init__()
        if n_heads < 1 or d_model % n_heads:
            raise ValueError(f"n_heads: got {n_heads}, wanted a divisor of d_model = {d_model}")
        self.n_heads = n_heads
        self.qkv = nn.Linear(d_model, 3 * d_model, **where)
        self.output_linear = nn.Linear(d_model, d_model, **where)

    def forward(self, u: Tensor) -> Tensor:
        return self._attend(*self._project(u), causal=True)

    def _project(self, u: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return self.qkv(u).unflatten(2, (3, self.n_heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, causal: bool) -> Tensor:
        y = F.scaled_dot_product_attention(q, k, v, is_causal=causal)
        return self.output_linear(y.transpose(1, 2).flatten(2))

    def prefill(self, u: Tensor) -> tuple[Tensor, KeyValues]:
        q, k, v = self._project(u)
        return self._attend(q, k, v, causal=True), KeyValues(k, v)

    def step(self, state: KeyValues | None, u_t: Tensor) -> tuple[Tensor, KeyValues]:
        q, k, v = self._project(u_t.unsqueeze(1))
        if state is not None:
            k, v = torch.cat([state.keys, k], 2), torch.cat([state.values, v], 2)
        return self._attend(q, k, v, causal=False).squeeze(1), KeyValues(k, v)


class Block(nn.Module):
    """``x <- x + mixer(norm(x))``, ``x <- x + mlp(norm(x))``."""

    def __init__(self, mixer: nn.Module, d_model: int, expand: int, dropout: float, **where: Any):
        super().__init__()
        self.mixer = mixer
        self.norm1, self.norm2 = nn.LayerNorm(d_model, **where), nn.LayerNorm(d_model, **where)
        self.mlp = nn.Sequential(
            nn.Linear(d_model, expand * d_model, **where),
            nn.GELU(),
            nn.Linear(expand * d_model, d_model, **where),
        )
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        y = self.mixer(self.norm1(x))
        return self._rest(x, y[0] if isinstance(y, tuple) else y)

    def _rest(self, x: Tensor, mixed: Tensor) -> Tensor:
        x = x + self.dropout(mixed)
        return x + self.dropout(self.mlp(self.norm2(x)))

    def prefill(self, x: Tensor) -> tuple[Tensor, Any]:
        mixed, state = self.mixer.prefill(self.norm1(x))
        return self._rest(x, mixed), state

    def step(self, state: Any, x: Tensor) -> tuple[Tensor, Any]:
        mixed, state = self.mixer.step(state, self.norm1(x))
        return self._rest(x, mixed), state


class LongConvLM(nn.Module):
    r"""Embedding, blocks of a long convolution and an MLP, a head that is the embedding again.

    Args:
        vocab_size: 256: bytes.
        d_model, n_layers: width and depth.
        l_max: taps per kernel: how far a layer looks back. Sequences may be longer.
        mixer: ``"h3"`` (`kernelmill.nn.H3Conv`) or ``"long_conv"`` (`kernelmill.nn.LongConv`).
        attention_layers: numbers of blocks with attention instead. n_heads: of those.
        expand: width of the MLPs over d_model.
        dropout: of the embedding and of what blocks add.
        tie_embeddings: whether the head shares the embedding's weight.
        device, dtype: of the parameters.
        mixer_args: of the mixer: lam, kernel_dropout, learning_rate, channels, ...

    Shapes:
        tokens: int (B, L) -> logits (B, L, vocab_size). Logits at t depend on tokens up to t.

    Raises:
        ValueError: an argument is out of range, or the mixer would look ahead.

    Source: arXiv 2302.06646, section 5 (H3 with long kernels, two attention layers).

    Example:
        >>> import torch
        >>> from kernelmill.models import LongConvLM
        >>> model = LongConvLM(d_model=32, n_layers=2, l_max=64).eval()
        >>> prompt = torch.randint(256, (1, 10))
        >>> logits, state = model.prefill(prompt)
        >>> logits, state = model.step(state, logits[:, -1].argmax(-1))
        >>> model.generate(prompt, 5).shape
        torch.Size([1, 15])
    """

    def __init__(
        self,
        vocab_size: int = 256,
        d_model: int = 256,
        n_layers: int = 6,
        l_max: int = 1024,
        mixer: str = "h3",
        attention_layers: tuple[int, ...] = (),
        n_heads: int = 4,
        expand: int = 4,
        dropout: float = 0.0,
        tie_embeddings: bool = True,
        device: Any = None,
        dtype: torch.dtype | None = None,
        **mixer_args: Any,
    ) -> None:
        super().__init__()
        for name, value in (("vocab_size", vocab_size), ("n_layers", n_layers), ("expand", expand)):
            if value < 1:
                raise ValueError(f"{name}: got {value}, wanted at least 1")
        if mixer not in MIXERS:
            raise ValueError(f"mixer: got {mixer!r}, wanted one of {', '.join(MIXERS)}")
        if not set(attention_layers) <= set(range(n_layers)):
            raise ValueError(
                f"attention_layers: got {attention_layers}, wanted numbers below {n_layers}"
            )
        if mixer_args.get("bidirectional") or mixer_args.get("mode", "linear") != "linear":
            raise ValueError("bidirectional, mode: a language model's layers must not look ahead")
        check_share("dropout", dropout)
        where = {"device": device, "dtype": dtype}

        def make(number: int) -> nn.Module:
            if number in attention_layers:
                return CausalAttention(d_model, n_heads, **where)
            if mixer == "h3":
                return H3Conv(d_model, l_max, **where, **mixer_args)
            return LongConv(d_model, l_max, transposed=False, **where, **mixer_args)

        self.embedding = nn.Embedding(vocab_size, d_model, **where)
        self.blocks = nn.ModuleList(
            Block(make(i), d_model, expand, dropout, **where) for i in range(n_layers)
        )
        self.norm = nn.LayerNorm(d_model, **where)
        self.head = nn.Linear(d_model, vocab_size, bias=False, **where)
        self.dropout = nn.Dropout(dropout)
        nn.init.normal_(self.embedding.weight, std=0.02)
        if tie_embeddings:
            self.head.weight = self.embedding.weight

    def forward(self, tokens: Tensor) -> Tensor:
        x = self._embed(tokens, 2)
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))

    def _embed(self, tokens: Tensor, dim: int) -> Tensor:
        if tokens.dim() != dim or tokens.is_floating_point():
            wanted = "(B, L)" if dim == 2 else "(B,)"
            raise ValueError(
                f"tokens: got {tokens.dtype} {tuple(tokens.shape)}, wanted int {wanted}"
            )
        return self.dropout(self.embedding(tokens))

    @torch.no_grad()
    def prefill(self, tokens: Tensor) -> tuple[Tensor, list[Any]]:
        """Logits of a prompt (B, L), and the state behind its last token.

        Call `eval` first: in training mode dropout would differ from step to step.
        """
        x, states = self._embed(tokens, 2), []
        for block in self.blocks:
            x, state = block.prefill(x)
            states.append(state)
        return self.head(self.norm(x)), states

    @torch.no_grad()
    def step(self, state: list[Any] | None, token: Tensor) -> tuple[Tensor, list[Any]]:
        """Logits (B, vocab_size) after one more token (B,), equal to those of `forward`.

        Costs O(l_max d_model) for a convolution and O(d_model^2) for the rest, however long the
        text is (attention: O(t d_model)). ``state`` is changed in place; None: the first token.
        """
        x = self._embed(token, 1)
        state = [None] * len(self.blocks) if state is None else state
        for i, block in enumerate(self.blocks):
            x, state[i] = block.step(state[i], x)
        return self.head(self.norm(x)), state

    @torch.no_grad()
    def generate(
        self,
        tokens: Tensor,
        max_new_tokens: int,
        temperature: float = 0.0,
        top_k: int | None = None,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Continue a prompt.

        Args:
            tokens: int (B, L), L >= 1.
            max_new_tokens: how many more.
            temperature: 0: the likeliest token; else sampling from softmax(logits / temperature).
            top_k: sample from the likeliest so many.
            generator: for sampling.

        Returns:
            (B, L + max_new_tokens).

        Raises:
            ValueError: temperature is negative, or the prompt is empty.
        """
        if not temperature >= 0:
            raise ValueError(f"temperature: got {temperature}, wanted at least 0")
        if tokens.dim() != 2 or tokens.shape[1] < 1:
            raise ValueError(f"tokens: got shape {tuple(tokens.shape)}, wanted (B, L), L >= 1")
        logits, state = self.prefill(tokens)
        logits, found = logits[:, -1], [tokens]
        for i in range(max_new_tokens):
            token = _pick(logits, temperature, top_k, generator)
            found.append(token.unsqueeze(1))
            if i + 1 < max_new_tokens:
                logits, state = self.step(state, token)
        return torch.cat(found, 1)

    @classmethod
    def preset(cls, name: str, **changes: Any) -> LongConvLM:
        """A published configuration: ``"h3"``, 12 layers of which two are attention."""
        return cls(**preset(name, LM_PRESETS, changes))


def _pick(
    logits: Tensor, temperature: float, top_k: int | None, generator: torch.Generator | None
) -> Tensor:
    if temperature == 0:
        return logits.argmax(-1)
    if top_k is not None:
        least = logits.topk(min(top_k, logits.shape[-1])).values[..., -1:]
        logits = logits.masked_fill(logits < least, -torch.inf)
    probabilities = (logits.float() / temperature).softmax(-1)
    return torch.multinomial(probabilities, 1, generator=generator).squeeze(-1)
