"""Neighborhood attention layers, and the functions behind them under NATTEN's names.

``import kernelmill.nn.neighborhood as natten`` serves code written for that package: its modules
and state, fused functions, and the unfused ones that it dropped in 0.20.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from kernelmill.ops.neighborhood import (
    attention,
    merge_attentions,
    na1d,
    na1d_av,
    na1d_qk,
    na2d,
    na2d_av,
    na2d_qk,
    na3d,
    na3d_av,
    na3d_qk,
    unfused,
)
from kernelmill.ops.neighborhood.arguments import Window, check_scale, check_window, per_axis
from kernelmill.ops.neighborhood.op import BACKENDS, neighborhood_attention
from kernelmill.ops.neighborhood.unfused import (
    natten1dav,
    natten1dqkrpb,
    natten2dav,
    natten2dqkrpb,
)

neighborhood_attention_generic = neighborhood_attention

__all__ = [
    "NeighborhoodAttention1D",
    "NeighborhoodAttention2D",
    "NeighborhoodAttention3D",
    "attention",
    "merge_attentions",
    "na1d",
    "na1d_av",
    "na1d_qk",
    "na2d",
    "na2d_av",
    "na2d_qk",
    "na3d",
    "na3d_av",
    "na3d_qk",
    "natten1dav",
    "natten1dqkrpb",
    "natten2dav",
    "natten2dqkrpb",
    "neighborhood_attention_generic",
]


class _NeighborhoodAttention(nn.Module):
    """Projections around `neighborhood_attention`; subclasses set the number of axes."""

    rank: int

    def __init__(
        self,
        embed_dim: int | None = None,
        num_heads: int | None = None,
        kernel_size: int | tuple[int, ...] | None = None,
        stride: int | tuple[int, ...] = 1,
        dilation: int | tuple[int, ...] = 1,
        is_causal: bool | tuple[bool, ...] = False,
        qkv_bias: bool = True,
        qk_scale: float | None = None,
        proj_drop: float = 0.0,
        *,
        dim: int | None = None,
        rel_pos_bias: bool = False,
        attn_drop: float = 0.0,
        backend: str | None = None,
        device: Any = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        if (embed_dim is None) == (dim is None):
            raise ValueError(
                f"embed_dim: got {embed_dim} beside dim = {dim} (its old name), wanted one of them"
            )
        embed_dim = dim if embed_dim is None else embed_dim
        if num_heads is None or kernel_size is None:
            missing = "num_heads" if num_heads is None else "kernel_size"
            raise TypeError(f"{missing}: missing")
        if embed_dim < 1 or num_heads < 1 or embed_dim % num_heads:
            raise ValueError(
                f"num_heads: got {num_heads} for embed_dim = {embed_dim}; num_heads must divide it"
            )
        for name, value in (("proj_drop", proj_drop), ("attn_drop", attn_drop)):
            if not 0 <= value < 1:
                raise ValueError(f"{name}: got {value}, wanted one in [0, 1)")
        if backend is not None and backend not in BACKENDS:
            raise ValueError(f"backend: got {backend!r}, wanted one of {', '.join(BACKENDS)}")
        self.window = self._window(kernel_size, stride, dilation, is_causal)
        if rel_pos_bias and any(self.window.is_causal):
            raise ValueError("rel_pos_bias: not defined with causal axes")
        self.embed_dim, self.num_heads = embed_dim, num_heads
        self.head_dim = embed_dim // num_heads
        self.scale = check_scale(qk_scale, torch.empty(self.head_dim, device="meta"))
        self.backend, self.attn_drop = backend, attn_drop
        place = {"device": device, "dtype": dtype}
        self.qkv = nn.Linear(embed_dim, 3 * embed_dim, bias=qkv_bias, **place)
        shape = (num_heads, *(2 * k - 1 for k in self.window.kernel_size))
        self.rpb = nn.Parameter(torch.empty(shape, **place)) if rel_pos_bias else None
        self.proj = nn.Linear(embed_dim, embed_dim, **place)
        self.proj_drop = nn.Dropout(proj_drop)
        if self.rpb is not None:
            nn.init.trunc_normal_(self.rpb, std=0.02)

    def _window(self, kernel_size, stride, dilation, is_causal) -> Window:
        """Checked, as far as that goes before a grid is known."""
        reach = zip(
            per_axis("kernel_size", kernel_size, self.rank),
            per_axis("dilation", 1 if dilation is None else dilation, self.rank),
            strict=True,
        )
        least = tuple(k * d for k, d in reach)
        return check_window(least, kernel_size, stride, dilation, is_causal)

    def reset_parameters(self) -> None:
        """Draw all parameters anew."""
        self.qkv.reset_parameters()
        self.proj.reset_parameters()
        if self.rpb is not None:
            nn.init.trunc_normal_(self.rpb, std=0.02)

    def forward(self, x: Tensor) -> Tensor:
        if x.dim() != self.rank + 2 or x.shape[-1] != self.embed_dim:
            axes = ", ".join("XYZ"[: self.rank])
            raise ValueError(
                f"x: got shape {tuple(x.shape)}, wanted (B, {axes}, C) with C = {self.embed_dim}"
            )
        qkv = self.qkv(x).unflatten(-1, (3, self.num_heads, self.head_dim))
        query, key, value = qkv.unbind(-3)
        if self.training and self.attn_drop:
            window = check_window(x.shape[1:-1], *self.window)
            out, _ = unfused.attend(
                query, key, value, window, self.scale, rpb=self.rpb, dropout=self.attn_drop
            )
        else:
            out = neighborhood_attention(
                query, key, value, *self.window, self.scale, rpb=self.rpb, backend=self.backend
            )
        return self.proj_drop(self.proj(out.flatten(-2)))

    def no_weight_decay(self) -> set[str]:
        """Names of parameters that are biases in all but name."""
        return set() if self.rpb is None else {"rpb"}

    def extra_repr(self) -> str:
        window = ", ".join(f"{name}={value}" for name, value in self.window._asdict().items())
        more = ", rel_pos_bias=True" if self.rpb is not None else ""
        more += f", attn_drop={self.attn_drop}" if self.attn_drop else ""
        more += f", backend={self.backend!r}" if self.backend else ""
        return f"{self.embed_dim}, num_heads={self.num_heads}, {window}{more}"


class NeighborhoodAttention1D(_NeighborhoodAttention):
    r"""Self attention of every token of a sequence to its nearest neighbours.

    ``proj(neighborhood_attention(*qkv(x)))``; state and arguments of NATTEN's modules.

    Args:
        embed_dim: C, the channels of a token. dim: its name in NATTEN before 0.20.
        num_heads: H, a divisor of C.
        kernel_size, stride, dilation, is_causal: as of `kernelmill.ops.neighborhood_attention`;
            one for all axes or a tuple. NATTEN before 0.20 has no stride: name the later arguments.
        qkv_bias: whether the projection to queries, keys and values has a bias.
        qk_scale: of the logits; default ``(C / H) ** -0.5``.
        proj_drop: dropped share of the output.
        rel_pos_bias: learn ``rpb`` (H, 2 k - 1, ..), as NAT and DiNAT do; not with causal axes.
        attn_drop: dropped share of the weights; while training that takes the unfused path, which
            stores the weights of all windows.
        backend: as of `neighborhood_attention`.
        device, dtype: of the parameters.

    Shapes:
        x: (B, X, C) -> the same. State: ``qkv.weight`` (3 C, C), its rows in the order (3, H,
        C / H), ``qkv.bias``, ``proj.weight``, ``proj.bias``, ``rpb``.

    Raises:
        ValueError: an argument is out of range; in forward: x has another rank or number of
            channels, or fewer tokens than ``kernel_size * dilation``.

    Source: Neighborhood Attention Transformer, arXiv 2204.07143; DiNAT, arXiv 2209.15001.

    Example:
        >>> import torch
        >>> from kernelmill.nn import NeighborhoodAttention1D
        >>> layer = NeighborhoodAttention1D(64, num_heads=2, kernel_size=7, is_causal=True)
        >>> layer(torch.randn(1, 50, 64)).shape
        torch.Size([1, 50, 64])
    """

    rank = 1


class NeighborhoodAttention2D(_NeighborhoodAttention):
    """`NeighborhoodAttention1D` of images: x (B, X, Y, C).

    Example:
        >>> import torch
        >>> from kernelmill.nn import NeighborhoodAttention2D
        >>> layer = NeighborhoodAttention2D(64, num_heads=2, kernel_size=7, rel_pos_bias=True)
        >>> layer(torch.randn(1, 14, 14, 64)).shape, layer.rpb.shape
        (torch.Size([1, 14, 14, 64]), torch.Size([2, 13, 13]))
    """

    rank = 2


class NeighborhoodAttention3D(_NeighborhoodAttention):
    """`NeighborhoodAttention1D` of videos or volumes: x (B, X, Y, Z, C).

    Example:
        >>> import torch
        >>> from kernelmill.nn import NeighborhoodAttention3D
        >>> layer = NeighborhoodAttention3D(64, 2, (2, 5, 5), is_causal=(True, False, False))
        >>> layer(torch.randn(1, 4, 8, 8, 64)).shape
        torch.Size([1, 4, 8, 8, 64])
    """

    rank = 3
