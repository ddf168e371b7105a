"""Generalised-mean pooling layers: GeM for feature maps, GGeM for tokens and feature maps."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from kernelmill.ops.gem import gem


class GroupGeMPool(nn.Module):
    r"""Generalised-mean pooling with one exponent per group of channels (GGeM).

    ``y[b, c] = (mean_n max(x[b, n, c], eps) ** p[g]) ** (1 / p[g])``, ``g = floor(c * G / C)``

    Pools what it is given: drop class and register tokens first. Whether the norm comes before or
    after is the caller's choice. Groups are usually the heads of the backbone (`for_vit`).

    Args:
        dim: C, the channels.
        groups: G, a divisor of C. 1 is GeM, C an exponent per channel.
        p: first value of the exponents: one number or G of them.
        learnable: whether p is a parameter; otherwise it is a buffer. A fixed p of 1, 2 or 3 runs
            without logarithms.
        eps: lower clamp.
        negative: ``"clamp"`` (the paper's), ``"abs"``, ``"signed"`` or ``"shift"``; see
            `kernelmill.ops.gem`. For a frozen backbone with signed features, clamping drops half
            of the signal: consider the others.
        channels_last: x is (B, N, C) or (B, H, W, C); otherwise (B, C, N) or (B, C, H, W).
        device, dtype: of p.

    Shapes:
        x as above, mask: bool, x's shape without channels -> (B, C), dtype of x.
        State: one tensor ``p`` (G,). Keep weight decay off it (`no_weight_decay`).

    Raises:
        ValueError: groups does not divide dim, p is not finite or has the wrong length, eps or
            negative is out of range; in forward: x does not have ``dim`` channels.

    Source: GGeM, arXiv 2212.04114. eps, the first p and all but ``"clamp"`` are ours.

    Example:
        >>> import torch
        >>> from kernelmill.nn import GroupGeMPool
        >>> pool = GroupGeMPool(768, groups=12)
        >>> pool(torch.randn(2, 196, 768)).shape
        torch.Size([2, 768])
    """

    def __init__(
        self,
        dim: int,
        groups: int = 1,
        p: float | list[float] = 3.0,
        learnable: bool = True,
        eps: float = 1e-6,
        negative: str = "clamp",
        channels_last: bool = True,
        device: Any = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        if dim < 1 or groups < 1 or dim % groups:
            raise ValueError(f"groups: got {groups} for dim = {dim}; groups must divide dim")
        first = [p] * groups if isinstance(p, int | float) else list(p)
        if len(first) != groups or not all(math.isfinite(v) for v in first):
            raise ValueError(f"p: got {p}, wanted a finite number or {groups} of them")
        gem(torch.ones(1, 1, 1), 1.0, eps=eps, negative=negative)  # checks both
        self.dim, self.groups, self.eps = dim, groups, eps
        self.negative, self.channels_last = negative, channels_last
        self.initial = tuple(float(v) for v in first)
        exponents = torch.empty(groups, device=device, dtype=dtype)
        if learnable:
            self.p = nn.Parameter(exponents)
        else:
            self.register_buffer("p", exponents)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set p to its first value."""
        with torch.no_grad():
            self.p.copy_(torch.tensor(self.initial, dtype=self.p.dtype))

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        at = -1 if self.channels_last else 1
        if x.dim() < 3 or x.shape[at] != self.dim:
            where = "last" if self.channels_last else "second"
            raise ValueError(
                f"x: got shape {tuple(x.shape)}, wanted {self.dim} channels in the {where} of at "
                "least 3 dimensions"
            )
        dim = tuple(range(1, x.dim() - 1)) if self.channels_last else tuple(range(2, x.dim()))
        return gem(x, self.p, self.groups, self.eps, self.negative, mask, dim)

    def no_weight_decay(self) -> set[str]:
        """Names of parameters that weight decay would pull towards the geometric mean."""
        return {"p"}

    @classmethod
    def for_vit(cls, model: nn.Module, **fields: Any) -> GroupGeMPool:
        """A pool with a group per attention head of a timm or transformers vision transformer.

        Raises:
            TypeError: the width and number of heads cannot be read from the model.
        """
        config = getattr(model, "config", None)
        width, heads = getattr(config, "hidden_size", None), None
        if width is not None:
            heads = getattr(config, "num_attention_heads", None)
        elif hasattr(model, "embed_dim") and hasattr(model, "blocks"):
            width = model.embed_dim
            heads = getattr(getattr(model.blocks[0], "attn", None), "num_heads", None)
        if not isinstance(width, int) or not isinstance(heads, int):
            raise TypeError(
                f"model: got {type(model).__name__}, wanted a vision transformer with "
                ".embed_dim and .blocks[0].attn.num_heads (timm) or with .config.hidden_size and "
                ".config.num_attention_heads (transformers)"
            )
        return cls(width, groups=heads, **fields)

    def extra_repr(self) -> str:
        return (
            f"{self.dim}, groups={self.groups}, learnable={isinstance(self.p, nn.Parameter)}, "
            f"eps={self.eps}, negative={self.negative!r}, channels_last={self.channels_last}"
        )


class GeMPool2d(nn.Module):
    r"""Generalised-mean pooling of feature maps, one exponent for all channels (GeM).

    ``y[b, c] = (mean_hw max(x[b, c, h, w], eps) ** p) ** (1 / p)``

    Args:
        p: the exponent (its first value, if learnable).
        learnable: whether p is a parameter; otherwise it is a buffer. A fixed p of 1, 2 or 3 runs
            without logarithms.
        eps, negative: see `kernelmill.ops.gem`.
        keepdim: return (B, C, 1, 1) instead of (B, C).

    Shapes:
        x: (B, C, H, W), any memory format -> (B, C), dtype of x. State: one tensor ``p`` (1,).

    Raises:
        ValueError: p is not finite, eps or negative out of range; in forward: x is not 4-D.

    Source: Radenovic et al., Fine-tuning CNN image retrieval, arXiv 1711.02512, section 3.2.

    Example:
        >>> import torch
        >>> from kernelmill.nn import GeMPool2d
        >>> GeMPool2d()(torch.rand(2, 2048, 7, 7)).shape
        torch.Size([2, 2048])
    """

    def __init__(
        self,
        p: float = 3.0,
        learnable: bool = True,
        eps: float = 1e-6,
        negative: str = "clamp",
        keepdim: bool = False,
        device: Any = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        gem(torch.ones(1, 1, 1), p, eps=eps, negative=negative)  # checks the three
        self.initial, self.eps, self.negative, self.keepdim = float(p), eps, negative, keepdim
        exponent = torch.empty(1, device=device, dtype=dtype)
        if learnable:
            self.p = nn.Parameter(exponent)
        else:
            self.register_buffer("p", exponent)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set p to its first value."""
        with torch.no_grad():
            self.p.fill_(self.initial)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        if x.dim() != 4:
            raise ValueError(f"x: got shape {tuple(x.shape)}, wanted (B, C, H, W)")
        y = gem(x, self.p, 1, self.eps, self.negative, mask)
        return y[:, :, None, None] if self.keepdim else y

    def no_weight_decay(self) -> set[str]:
        """Names of parameters that weight decay would pull towards the geometric mean."""
        return {"p"}

    def extra_repr(self) -> str:
        learnable = isinstance(self.p, nn.Parameter)
        return f"learnable={learnable}, eps={self.eps}, negative={self.negative!r}"
