"""Neighborhood attention through torch's flex_attention, with a block mask of the windows."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from kernelmill.ops.neighborhood.arguments import Window
from kernelmill.ops.neighborhood.masks import block_mask


def attend(
    query: Tensor, key: Tensor, value: Tensor, window: Window, scale: float,
    extra_key: Tensor | None, extra_value: Tensor | None, rpb: Tensor | None,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Output and lse of heads-last tensors (B, X.., H, D).

    Compiled on GPUs. On the CPU flex_attention's compiler has no lse, so its eager form runs there,
    which stores all N x N logits and has no backward pass.

    Raises:
        NotImplementedError: gradients on the CPU, float64 on a GPU, or an empty batch.
    """
    tensors = [x for x in (query, key, value, extra_key, extra_value, rpb) if x is not None]
    on_cpu = query.device.type == "cpu"
    if on_cpu and torch.is_grad_enabled() and any(x.requires_grad for x in tensors):
        raise NotImplementedError(
            "backend: 'flex' has no backward pass on the CPU; use backend=None, or torch.no_grad()"
        )
    if not on_cpu and query.dtype == torch.float64:
        raise NotImplementedError(f"backend: 'flex' has no float64 kernel on {query.device}")
    if not query.numel():
        raise NotImplementedError("backend: 'flex' cannot take an empty batch")
    batch, *shape, heads, _ = query.shape
    last = len(shape)
    q, k, v = (x.flatten(1, last).transpose(1, 2) for x in (query, key, value))
    extra = 0
    if extra_key is not None:
        extra = extra_key.shape[1]
        k = torch.cat([k, extra_key.transpose(1, 2)], 2)
        v = torch.cat([v, extra_value.transpose(1, 2)], 2)
    build = block_mask if torch.compiler.is_compiling() else _kept
    out, lse = _flex(on_cpu)(
        q, k, v,
        score_mod=None if rpb is None else _bias(tuple(shape), window, rpb),
        block_mask=build(tuple(shape), window, extra, query.device),
        scale=scale, enable_gqa=heads != k.shape[1], **_ask_lse(),
    )  # fmt: skip
    lse = getattr(lse, "lse", lse).to(torch.promote_types(query.dtype, torch.float32))
    out = out.transpose(1, 2).reshape(batch, *shape, heads, value.shape[-1])
    return out, lse.transpose(1, 2).reshape(batch, *shape, heads)


_kept = lru_cache(maxsize=32)(block_mask)


@lru_cache(maxsize=1)
def _compiled():
    from torch.nn.attention.flex_attention import flex_attention

    return torch.compile(flex_attention)


def _flex(on_cpu: bool):
    from torch.nn.attention.flex_attention import flex_attention

    # Within a compiled graph it is compiled with the rest.
    return flex_attention if on_cpu or torch.compiler.is_compiling() else _compiled()


def _ask_lse() -> dict:
    """The keyword for the natural lse: its name changed in torch 2.9."""
    from torch.nn.attention import flex_attention as module

    if hasattr(module, "AuxRequest"):
        return {"return_aux": module.AuxRequest(lse=True)}
    return {"return_lse": True}


def _bias(shape: tuple[int, ...], window: Window, rpb: Tensor):
    """flex_attention's function of the scores that adds the relative position bias."""
    tokens = torch.Size(shape).numel()
    flat = rpb.float().flatten(1)

    def biased(score, batch, head, query, key):
        place, size = 0, 1
        own, other = query, key
        for n, k, d in zip(
            reversed(shape), reversed(window.kernel_size), reversed(window.dilation), strict=True
        ):
            step = (other % n) // d - (own % n) // d + k - 1
            place = place + step.clamp(0, 2 * k - 2) * size  # hidden pairs: any place
            size *= 2 * k - 1
            own, other = own // n, other // n
        return score + torch.where(key < tokens, flat[head, place], 0.0)

    return biased
