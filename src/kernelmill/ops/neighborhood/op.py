"""The public functions of neighborhood attention, and the registered operator behind them."""

from __future__ import annotations

import torch
from torch import Tensor

from kernelmill.ops.neighborhood import cpu, dense, flex, triton, unfused
from kernelmill.ops.neighborhood.arguments import (
    Window,
    check_additional,
    check_rpb,
    check_scale,
    check_tensors,
    check_window,
    three_axes,
    widen,
)
from kernelmill.ops.neighborhood.examples import EXAMPLES
from kernelmill.ops.neighborhood.reference import neighborhood_attention_plain
from kernelmill.ops.numerics import sum_dtype
from kernelmill.ops.registry import Kernels, Operator, forced, register

# Backends that take tensors of any rank as they are given.
_WHOLE = {"dense": dense.attend, "flex": flex.attend, "unfused": unfused.attend}
# NATTEN's names for its fused kernels stand for ours.
_FUSED = ("cutlass-fna", "hopper-fna", "blackwell-fna", "fna")
BACKENDS = (
    "auto", "cpu", "triton", "reference", "unfused", "dense", "flex", "flex-fna", *_FUSED,
)  # fmt: skip


def neighborhood_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    kernel_size: int | tuple[int, ...],
    stride: int | tuple[int, ...] = 1,
    dilation: int | tuple[int, ...] = 1,
    is_causal: bool | tuple[bool, ...] = False,
    scale: float | None = None,
    additional_keys: Tensor | None = None,
    additional_values: Tensor | None = None,
    rpb: Tensor | None = None,
    backend: str | None = None,
    return_lse: bool = False,
    **hints,
) -> Tensor | tuple[Tensor, Tensor]:
    r"""Attention of every token to the window of its nearest neighbours on a grid of 1 to 3 axes.

    ``out = softmax(scale q k^T + rpb) v`` over the window of each query and, never masked, the
    additional keys. Windows are shifted at the borders (always ``kernel_size`` keys), on causal
    axes clipped; `window_bounds` has the rule of an axis. The sums are float32 (float64 for
    float64 inputs); nothing of size N x window is stored. As in other fused attention, an infinite
    or NaN ``value`` may reach queries beside those that attend it (0 x NaN); keys do not.

    Args:
        query: (B, X.., H, D) with one to three grid axes X..; float32, float64, float16, bfloat16.
        key: (B, X.., Hkv, D). value: (B, X.., Hkv, Dv). Query head h uses head ``h // (H / Hkv)``.
        kernel_size: k of each axis, one for all or a tuple; even ones have one more on the left.
        stride: s of each axis, in [1, k]; s queries share a window. s = k: blocked attention.
        dilation: d of each axis; ``k d`` is at most the axis' length.
        is_causal: of each axis.
        scale: of the logits; default ``D ** -0.5``.
        additional_keys, additional_values: (B, E, Hkv, D) and (B, E, Hkv, Dv), both or neither.
        rpb: (H, 2 k - 1, ..) relative position bias, the entry of neighbour r of query p at
            ``r - p + k - 1`` in group coordinates; not with causal axes.
        backend: ``None`` or ``"auto"``: kernels where they fit. ``"cpu"``, ``"triton"``,
            ``"reference"``; ``"unfused"``: weights of size N x window are stored; ``"dense"``: all
            N x N scores, then a mask; ``"flex"``: torch's flex_attention. NATTEN's names of
            fused backends mean ``"auto"``.
        return_lse: also the log of the softmax's denominator, natural, float32; has a gradient.
        hints: tuning arguments of NATTEN (``q_tile_shape``, ..), accepted without effect.

    Returns:
        (B, X.., H, Dv), dtype of ``query``; with ``return_lse`` also (B, X.., H).

    Raises:
        TypeError: a dtype is not accepted, or an argument is unknown.
        ValueError: shapes, devices or window parameters do not fit.
        NotImplementedError: a sparse or nested tensor, or what a named backend cannot do.

    Source: Faster Neighborhood Attention, NeurIPS 2024 (arXiv 2403.04690); strides and even
    windows: arXiv 2504.16922.

    Example:
        >>> import torch
        >>> from kernelmill.ops import neighborhood_attention
        >>> x = torch.rand(1, 8, 8, 2, 16)  # batch, two axes, heads, channels
        >>> neighborhood_attention(x, x, x, kernel_size=(3, 5), dilation=(2, 1)).shape
        torch.Size([1, 8, 8, 2, 16])
    """
    return _attend(
        None, query, key, value, kernel_size, stride, dilation, is_causal, scale, additional_keys,
        additional_values, rpb, backend, return_lse, hints,
    )  # fmt: skip


def na1d(
    query: Tensor, key: Tensor, value: Tensor, kernel_size, stride=1, dilation=1, is_causal=False,
    scale: float | None = None, additional_keys: Tensor | None = None,
    additional_values: Tensor | None = None, rpb: Tensor | None = None,
    backend: str | None = None, return_lse: bool = False, **hints,
) -> Tensor | tuple[Tensor, Tensor]:  # fmt: skip
    """`neighborhood_attention` of sequences: (B, X, H, D).

    Raises:
        ValueError: as `neighborhood_attention`, or the rank is another.

    Example:
        >>> x = torch.rand(1, 32, 2, 16)
        >>> na1d(x, x, x, kernel_size=7, is_causal=True).shape
        torch.Size([1, 32, 2, 16])
    """
    return _attend(
        1, query, key, value, kernel_size, stride, dilation, is_causal, scale, additional_keys,
        additional_values, rpb, backend, return_lse, hints,
    )  # fmt: skip


def na2d(
    query: Tensor, key: Tensor, value: Tensor, kernel_size, stride=1, dilation=1, is_causal=False,
    scale: float | None = None, additional_keys: Tensor | None = None,
    additional_values: Tensor | None = None, rpb: Tensor | None = None,
    backend: str | None = None, return_lse: bool = False, **hints,
) -> Tensor | tuple[Tensor, Tensor]:  # fmt: skip
    """`neighborhood_attention` of images: (B, X, Y, H, D).

    Raises:
        ValueError: as `neighborhood_attention`, or the rank is another.

    Example:
        >>> x = torch.rand(1, 14, 14, 2, 16)
        >>> na2d(x, x, x, kernel_size=7, dilation=2).shape
        torch.Size([1, 14, 14, 2, 16])
    """
    return _attend(
        2, query, key, value, kernel_size, stride, dilation, is_causal, scale, additional_keys,
        additional_values, rpb, backend, return_lse, hints,
    )  # fmt: skip


def na3d(
    query: Tensor, key: Tensor, value: Tensor, kernel_size, stride=1, dilation=1, is_causal=False,
    scale: float | None = None, additional_keys: Tensor | None = None,
    additional_values: Tensor | None = None, rpb: Tensor | None = None,
    backend: str | None = None, return_lse: bool = False, **hints,
) -> Tensor | tuple[Tensor, Tensor]:  # fmt: skip
    """`neighborhood_attention` of videos or volumes: (B, X, Y, Z, H, D).

    Raises:
        ValueError: as `neighborhood_attention`, or the rank is another.

    Example:
        >>> x = torch.rand(1, 4, 8, 8, 2, 16)
        >>> na3d(x, x, x, kernel_size=(2, 5, 5), is_causal=(True, False, False)).shape
        torch.Size([1, 4, 8, 8, 2, 16])
    """
    return _attend(
        3, query, key, value, kernel_size, stride, dilation, is_causal, scale, additional_keys,
        additional_values, rpb, backend, return_lse, hints,
    )  # fmt: skip


_HINTS = frozenset(
    "q_tile_shape kv_tile_shape backward_q_tile_shape backward_kv_tile_shape "
    "backward_kv_splits backward_use_pt_reduction run_persistent_kernel kernel_schedule "
    "torch_compile attention_kwargs try_token_permute".split()
)


def _attend(
    rank, query, key, value, kernel_size, stride, dilation, is_causal, scale, extra_key,
    extra_value, rpb, backend, return_lse, hints,
):  # fmt: skip
    rank = check_tensors(query, key, value, rank)
    unknown = set(hints) - _HINTS
    if unknown:
        raise TypeError(f"unexpected argument {sorted(unknown)[0]!r}")
    if not isinstance(return_lse, bool):
        raise ValueError(f"return_lse: got {return_lse!r}, wanted True or False")
    window, scale, backend = _checked(
        rank, query, key, value, kernel_size, stride, dilation, is_causal, scale, extra_key,
        extra_value, rpb, backend,
    )  # fmt: skip
    if backend in _WHOLE:
        attend = _WHOLE[backend]
        out, lse = attend(query, key, value, window, scale, extra_key, extra_value, rpb)
    else:
        args = _kernel_arguments(
            rank, query, key, value, extra_key, extra_value, rpb, window, scale
        )
        out, lse = NEIGHBORHOOD(*args, backend=None if backend == "auto" else backend)
        shape = query.shape[:-1]
        out, lse = out.reshape(*shape, value.shape[-1]), lse.reshape(shape)
    return (out, lse) if return_lse else out


def _checked(
    rank, query, key, value, kernel_size, stride, dilation, is_causal, scale, extra_key,
    extra_value, rpb, backend,
) -> tuple[Window, float, str]:  # fmt: skip
    window = check_window(query.shape[1:-2], kernel_size, stride, dilation, is_causal)
    check_additional(extra_key, extra_value, query, key, value)
    check_rpb(rpb, window, query.shape[-2], query.device)
    scale = check_scale(scale, query)
    backend = "auto" if backend is None or backend in _FUSED else backend
    if backend not in BACKENDS:
        raise ValueError(f"backend: got {backend!r}, wanted one of {', '.join(BACKENDS)}")
    return window, scale, "flex" if backend == "flex-fna" else backend


def _kernel_arguments(rank, query, key, value, extra_key, extra_value, rpb, window, scale) -> tuple:
    window = widen(window)
    if rpb is not None:
        rpb = rpb.reshape(rpb.shape[0], *(2 * k - 1 for k in window.kernel_size))
    return (
        three_axes(query, rank), three_axes(key, rank), three_axes(value, rank), extra_key,
        extra_value, rpb, *(list(x) for x in window), scale,
    )  # fmt: skip


def explain(
    query: Tensor, key: Tensor, value: Tensor, kernel_size, stride=1, dilation=1, is_causal=False,
    scale: float | None = None, additional_keys: Tensor | None = None,
    additional_values: Tensor | None = None, rpb: Tensor | None = None,
    backend: str | None = None,
) -> dict:  # fmt: skip
    """What `neighborhood_attention` would run on these arguments, and why; nothing is computed.

    Returns:
        ``backend`` and ``reason``; ``window``: `kernel_size`, ... of every axis; ``flops`` of the
        forward pass (two products over the windows and the additional keys, clipped causal windows
        counted in full); ``bytes``: queries, keys, values and results once; on the CPU also
        ``tile``, the queries of a tile on three axes, and ``useful``, the share of its products
        that lie within windows.

    Raises:
        ValueError: as `neighborhood_attention`.

    Example:
        >>> x = torch.rand(1, 16, 16, 2, 32)
        >>> found = explain(x, x, x, kernel_size=5, backend="dense")
        >>> found["backend"], found["flops"]
        ('dense', 1638400)
    """
    rank = check_tensors(query, key, value)
    window, scale, name = _checked(
        rank, query, key, value, kernel_size, stride, dilation, is_causal, scale, additional_keys,
        additional_values, rpb, backend,
    )  # fmt: skip
    neighbors = 1
    for k in window.kernel_size:
        neighbors *= k
    if additional_keys is not None:
        neighbors += additional_keys.shape[1]
    rows = query.numel() // query.shape[-1]
    found = {
        "backend": name, "reason": "asked for", "window": window._asdict(),
        "flops": 2 * rows * neighbors * (query.shape[-1] + value.shape[-1]),
        "bytes": query.nbytes + key.nbytes + value.nbytes
        + rows * (value.shape[-1] * value.element_size() + 4),
    }  # fmt: skip
    args = _kernel_arguments(
        rank, query, key, value, additional_keys, additional_values, rpb, window, scale
    )
    if name == "auto":
        found["backend"], found["reason"] = NEIGHBORHOOD.choose(*args)
        if forced() is None and found["reason"] == "fits":
            found["reason"] = f"fused kernels for {query.dtype} on {query.device.type}"
    if found["backend"] == "cpu":
        found["tile"], found["useful"] = cpu.tiling(args)
    return found


def neighborhood_attention_reference(
    query, key, value, kernel_size, stride=1, dilation=1, is_causal=False, scale=None,
    additional_keys=None, additional_values=None, rpb=None, backend=None, return_lse=False,
):  # fmt: skip
    """The definition in plain PyTorch, same arguments."""
    window = check_window(query.shape[1:-2], kernel_size, stride, dilation, is_causal)
    out, lse = neighborhood_attention_plain(
        query, key, value, additional_keys, additional_values, rpb, *window,
        check_scale(scale, query),
    )  # fmt: skip
    return (out, lse) if return_lse else out


def _fake(query, key, value, *_):
    wide = sum_dtype(query.dtype)
    shape = query.shape[:-1]
    return query.new_empty(*shape, value.shape[-1]), query.new_empty(shape, dtype=wide)


NEIGHBORHOOD = register(
    Operator(
        name="neighborhood_attention",
        function=neighborhood_attention,
        reference=neighborhood_attention_reference,
        examples=EXAMPLES,
        args=(
            "Tensor query, Tensor key, Tensor value, Tensor? extra_key, Tensor? extra_value, "
            "Tensor? rpb, int[] kernel_size, int[] stride, int[] dilation, bool[] is_causal, "
            "float scale"
        ),
        differentiable=("query", "key", "value", "extra_key", "extra_value", "rpb"),
        outputs=2,
        results=2,
        plain=neighborhood_attention_plain,
        fake=_fake,
        kernels={
            "cpu": Kernels(cpu.forward, cpu.backward, cpu.fits),
            "triton": Kernels(triton.forward, triton.backward, triton.fits),
        },
        paper="Faster Neighborhood Attention, arXiv 2403.04690",
    )
)


def attention(
    query: Tensor, key: Tensor, value: Tensor, is_causal: bool = False,
    scale: float | None = None, return_lse: bool = False, **hints,
) -> Tensor | tuple[Tensor, Tensor]:  # fmt: skip
    """Attention over all keys, heads last, with its lse; NATTEN's companion of `merge_attentions`.

    Args:
        query: (B, S, H, D). key, value: (B, T, Hkv, D) and (B, T, Hkv, Dv); T = S where causal.
        is_causal, scale, return_lse, hints: as in `neighborhood_attention`.

    Returns:
        (B, S, H, Dv), with ``return_lse`` also (B, S, H).

    Raises:
        ValueError: shapes do not fit.

    Example:
        >>> x = torch.rand(1, 6, 2, 8)
        >>> attention(x, x, x, is_causal=True).shape
        torch.Size([1, 6, 2, 8])
    """
    if query.dim() == 4 and key.shape[1:2] == query.shape[1:2]:
        return na1d(
            query, key, value, query.shape[1], is_causal=is_causal, scale=scale,
            return_lse=return_lse, **hints,
        )  # fmt: skip
    if is_causal:
        raise ValueError(
            f"is_causal: got True for {query.shape[1]} queries and {key.shape[1]} keys; wanted as "
            "many of one as of the other"
        )
    return _cross(query, key, value, check_scale(scale, query), return_lse)


def _cross(query, key, value, scale, return_lse):
    groups = query.shape[2] // key.shape[2]
    wide = sum_dtype(query.dtype)
    keys, values = (x.to(wide).repeat_interleave(groups, 2) for x in (key, value))
    logits = torch.einsum("bshd,bthd->bhst", query.to(wide) * scale, keys)
    lse = logits.logsumexp(-1)
    out = torch.einsum("bhst,bthd->bshd", (logits - lse.unsqueeze(-1)).exp(), values)
    out = out.to(query.dtype)
    return (out, lse.transpose(1, 2)) if return_lse else out
