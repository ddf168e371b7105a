r"""Unfused neighborhood attention: logits and weights of every window as tensors.

The names, layouts (heads first) and orders of NATTEN before 0.20. Three products carry it: logits
(PN), weighted sums over windows (NN) and their transpose (IN), which gathers by the inverse
neighbourhood. The derivative of each is made of the others, so that gradients of any order exist.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from kernelmill.ops.neighborhood import tiles
from kernelmill.ops.neighborhood.arguments import Window, check_rpb, check_tensor, check_window
from kernelmill.ops.neighborhood.windows import axis_bounds

_AXES = ("X", "X, Y", "X, Y, Z")


def na1d_qk(
    query: Tensor, key: Tensor, kernel_size, dilation=1, additional_keys: Tensor | None = None,
    is_causal=False, rpb: Tensor | None = None,
) -> Tensor:  # fmt: skip
    r"""Logits of every query with its window, not scaled: ``q[p] . k[r] + rpb[r - p + k - 1]``.

    Differentiable any number of times. Makes dense products of tiles: what is not finite in a
    token may reach others of its neighbourhood.

    Args:
        query: (B, H, X.., D), heads first; float32, float64, float16 or bfloat16.
        key: the same shape.
        kernel_size: odd; one for all axes or a tuple. dilation, is_causal: likewise.
        additional_keys: (B, H, E, D), for every query.
        rpb: (H, 2 k - 1, ..) relative position bias; not with causal axes.

    Returns:
        (B, H, X.., prod(k) + E): the window row-major from its start, then the additional keys;
        -inf where causal axes cut the window.

    Raises:
        TypeError, ValueError: dtypes, shapes or window parameters do not fit.

    Source: Faster Neighborhood Attention (arXiv 2403.04690); NATTEN up to 0.17 has the function.

    Example:
        >>> x = torch.rand(1, 2, 9, 8)
        >>> weights = na1d_qk(x, x, kernel_size=3).softmax(-1)
        >>> na1d_av(weights, x, kernel_size=3).shape
        torch.Size([1, 2, 9, 8])
    """
    return _qk(1, query, key, kernel_size, dilation, additional_keys, is_causal, rpb)


def na2d_qk(
    query: Tensor, key: Tensor, kernel_size, dilation=1, additional_keys: Tensor | None = None,
    is_causal=False, rpb: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """`na1d_qk` of images: (B, H, X, Y, D) -> (B, H, X, Y, k1 k2 + E).

    Example:
        >>> x = torch.rand(1, 2, 6, 5, 8)
        >>> na2d_qk(x, x, kernel_size=(5, 3)).shape
        torch.Size([1, 2, 6, 5, 15])
    """
    return _qk(2, query, key, kernel_size, dilation, additional_keys, is_causal, rpb)


def na3d_qk(
    query: Tensor, key: Tensor, kernel_size, dilation=1, additional_keys: Tensor | None = None,
    is_causal=False, rpb: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """`na1d_qk` of videos or volumes: (B, H, X, Y, Z, D) -> (B, H, X, Y, Z, k1 k2 k3 + E).

    Example:
        >>> x = torch.rand(1, 2, 3, 4, 5, 8)
        >>> na3d_qk(x, x, kernel_size=3).shape
        torch.Size([1, 2, 3, 4, 5, 27])
    """
    return _qk(3, query, key, kernel_size, dilation, additional_keys, is_causal, rpb)


def na1d_av(
    attn: Tensor, value: Tensor, kernel_size, dilation=1, additional_values: Tensor | None = None,
    is_causal=False,
) -> Tensor:  # fmt: skip
    r"""Weighted sum over the window of every query: ``sum_r attn[p, r] v[r]``.

    Differentiable any number of times.

    Args:
        attn: (B, H, X.., prod(k) + E), in the order of `na1d_qk`; brought to the dtype of value.
        value: (B, H, X.., D). kernel_size, dilation, is_causal: as of `na1d_qk`.
        additional_values: (B, H, E, D).

    Returns:
        (B, H, X.., D). Weights that causal axes cut off the window do not count.

    Raises:
        TypeError, ValueError: dtypes, shapes or window parameters do not fit.

    Source: as `na1d_qk`.

    Example:
        >>> weights = torch.full((1, 1, 4, 3), 1 / 3)
        >>> na1d_av(weights, torch.arange(4.).view(1, 1, 4, 1), kernel_size=3).flatten()
        tensor([1., 1., 2., 2.])
    """
    return _av(1, attn, value, kernel_size, dilation, additional_values, is_causal)


def na2d_av(
    attn: Tensor, value: Tensor, kernel_size, dilation=1, additional_values: Tensor | None = None,
    is_causal=False,
) -> Tensor:  # fmt: skip
    """`na1d_av` of images: value (B, H, X, Y, D).

    Example:
        >>> na2d_av(torch.rand(1, 2, 6, 5, 9), torch.rand(1, 2, 6, 5, 8), kernel_size=3).shape
        torch.Size([1, 2, 6, 5, 8])
    """
    return _av(2, attn, value, kernel_size, dilation, additional_values, is_causal)


def na3d_av(
    attn: Tensor, value: Tensor, kernel_size, dilation=1, additional_values: Tensor | None = None,
    is_causal=False,
) -> Tensor:  # fmt: skip
    """`na1d_av` of videos or volumes: value (B, H, X, Y, Z, D).

    Example:
        >>> na3d_av(torch.rand(1, 2, 3, 4, 5, 27), torch.rand(1, 2, 3, 4, 5, 8), 3).shape
        torch.Size([1, 2, 3, 4, 5, 8])
    """
    return _av(3, attn, value, kernel_size, dilation, additional_values, is_causal)


def natten1dqkrpb(query, key, rpb, kernel_size, dilation=1) -> Tensor:
    """`na1d_qk` under the name and with the arguments of NATTEN before 0.15."""
    return _qk(1, query, key, kernel_size, dilation, None, False, rpb)


def natten2dqkrpb(query, key, rpb, kernel_size, dilation=1) -> Tensor:
    """`na2d_qk` under the name and with the arguments of NATTEN before 0.15."""
    return _qk(2, query, key, kernel_size, dilation, None, False, rpb)


def natten1dav(attn, value, kernel_size, dilation=1) -> Tensor:
    """`na1d_av` under the name of NATTEN before 0.15."""
    return _av(1, attn, value, kernel_size, dilation, None, False)


def natten2dav(attn, value, kernel_size, dilation=1) -> Tensor:
    """`na2d_av` under the name of NATTEN before 0.15."""
    return _av(2, attn, value, kernel_size, dilation, None, False)


def attend(
    query: Tensor, key: Tensor, value: Tensor, window: Window, scale: float,
    extra_key: Tensor | None = None, extra_value: Tensor | None = None, rpb: Tensor | None = None,
    dropout: float = 0.0,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Output and lse of heads-last tensors (B, X.., H, D) for any window, with dropped weights."""
    heads = query.shape[-2]

    def first(x: Tensor) -> Tensor:  # (B, H, .., D)
        return x.movedim(-2, 1).repeat_interleave(heads // x.shape[-2], 1)

    q, shape = first(query) * scale, query.shape[1:-2]
    logits = _logits(q, first(key), window, rpb)
    if extra_key is not None:
        logits = torch.cat([logits, _every(q, first(extra_key).mT)], -1)
    wide = logits.to(torch.promote_types(logits.dtype, torch.float32))
    lse = wide.logsumexp(-1)
    weights = functional.dropout((wide - lse.unsqueeze(-1)).exp(), dropout).to(value.dtype)
    more = None if extra_value is None else first(extra_value)
    out = _sums(weights, first(value), window, shape, more)
    return out.movedim(1, -2), lse.movedim(1, -1)


def _qk(rank, query, key, kernel_size, dilation, additional_keys, is_causal, rpb) -> Tensor:
    _check("query", query, rank)
    check_tensor("key", key)
    if key.shape != query.shape or key.dtype != query.dtype or key.device != query.device:
        raise ValueError(
            f"key: got {key.dtype} {tuple(key.shape)} on {key.device}, wanted {query.dtype} "
            f"{tuple(query.shape)} on {query.device} as of query"
        )
    window = _window(query.shape[2:-1], kernel_size, dilation, is_causal)
    check_rpb(rpb, window, query.shape[1], query.device)
    logits = _logits(query, key, window, rpb)
    if additional_keys is None:
        return logits
    _check_additional("additional_keys", additional_keys, query)
    return torch.cat([logits, _every(query, additional_keys.mT)], -1)


def _av(rank, attn, value, kernel_size, dilation, additional_values, is_causal) -> Tensor:
    _check("value", value, rank)
    check_tensor("attn", attn)
    shape = value.shape[2:-1]
    window = _window(shape, kernel_size, dilation, is_causal)
    columns = torch.Size(window.kernel_size).numel()
    if additional_values is not None:
        _check_additional("additional_values", additional_values, value)
        columns += additional_values.shape[2]
    if attn.shape != (*value.shape[:-1], columns) or attn.device != value.device:
        raise ValueError(
            f"attn: got shape {tuple(attn.shape)} on {attn.device}, wanted "
            f"{(*value.shape[:-1], columns)} on {value.device}"
        )
    return _sums(attn.to(value.dtype), value, window, shape, additional_values)


def _check(name: str, x: Tensor, rank: int) -> None:
    check_tensor(name, x)
    if x.dim() != rank + 3 or not x.shape[-1]:
        raise ValueError(f"{name}: got shape {tuple(x.shape)}, wanted (B, H, {_AXES[rank - 1]}, D)")


def _check_additional(name: str, x: Tensor, like: Tensor) -> None:
    check_tensor(name, x)
    wanted = (*like.shape[:2], x.shape[2] if x.dim() > 2 else -1, like.shape[-1])
    if tuple(x.shape) != wanted or x.dtype != like.dtype or x.device != like.device:
        raise ValueError(
            f"{name}: got {x.dtype} {tuple(x.shape)} on {x.device}, wanted (B, H, E, D) with "
            f"B, H = {tuple(like.shape[:2])}, D = {like.shape[-1]}, {like.dtype} on {like.device}"
        )


def _window(shape, kernel_size, dilation, is_causal) -> Window:
    window = check_window(tuple(shape), kernel_size, 1, dilation, is_causal)
    for k in window.kernel_size:
        if k % 2 == 0:
            raise ValueError(f"kernel_size: got {k}; the unfused functions take odd ones only")
    return window


def _every(query: Tensor, matrix: Tensor) -> Tensor:
    """(B, H, X.., D) times (B, H, D, E)."""
    return (query.flatten(2, -2) @ matrix).view(*query.shape[:-1], matrix.shape[-1])


def _logits(query: Tensor, key: Tensor, window: Window, rpb: Tensor | None) -> Tensor:
    logits = _pn(query, key, *map(list, window))
    shape = tuple(query.shape[2:-1])
    if rpb is not None:
        logits = logits + _bias(rpb.to(query.dtype), shape, window)
    if any(window.is_causal):
        logits = logits.masked_fill(~_valid(shape, window, query.device), -torch.inf)
    return logits


def _sums(attn: Tensor, value: Tensor, window: Window, shape, extra: Tensor | None) -> Tensor:
    columns = torch.Size(window.kernel_size).numel()
    near = attn[..., :columns]
    if any(window.is_causal):
        near = near.masked_fill(~_valid(tuple(shape), window, value.device), 0)
    out = _nn(near, value, *map(list, window))
    return out if extra is None else out + _every(attn[..., columns:], extra)


def _valid(shape: tuple[int, ...], window: Window, device) -> Tensor:
    """(X.., prod(k)): which places of the windows causal axes leave."""
    valid = torch.ones((), dtype=torch.bool, device=device)
    rank = len(shape)
    for i, (n, *axis) in enumerate(zip(shape, *window, strict=True)):
        start, end = (x.to(device) for x in axis_bounds(n, *axis))
        inside = start[:, None] + torch.arange(axis[0], device=device) <= end[:, None]
        own = [1] * (2 * rank)
        own[i], own[rank + i] = inside.shape
        valid = valid & inside.view(own)
    return valid.reshape(*shape, -1)


def _bias(rpb: Tensor, shape: tuple[int, ...], window: Window) -> Tensor:
    """(H, 2 k - 1, ..) -> (H, X.., prod(k)).

    As lookups in tables of one axis each, whose gradient is summed in a fixed order.
    """
    for i, k in enumerate(window.kernel_size):
        rpb = rpb.unfold(1 + i, k, 1)  # (H, first.., place..): entry first + place of each axis
    for i, (n, *axis) in enumerate(zip(shape, *window, strict=True)):
        k, d = axis[0], axis[2]
        start = axis_bounds(n, *axis)[0].to(rpb.device).long()
        first = start - torch.arange(n, device=rpb.device) // d + k - 1
        rows = rpb.movedim(1 + i, 0)
        rpb = functional.embedding(first, rows.flatten(1)).view(n, *rows.shape[1:])
        rpb = rpb.movedim(0, 1 + i)
    return rpb.flatten(1 + len(shape))


def _tiled(x: Tensor, window) -> tiles.Tiling:
    shape = tuple(x.shape[2:-1])
    return tiles.tiling(shape, *(tuple(value) for value in window), x.device)


@torch.library.custom_op("kernelmill::neighborhood_pn", mutates_args=())
def _pn(
    query: Tensor, key: Tensor, kernel_size: list[int], stride: list[int], dilation: list[int],
    is_causal: list[bool],
) -> Tensor:  # fmt: skip
    """Pointwise times neighbourhood: (B, H, X.., D) twice -> (B, H, X.., prod(k))."""
    tiling = _tiled(query, (kernel_size, stride, dilation, is_causal))
    out = tiles.products(query.flatten(0, 1), key.flatten(0, 1), tiling)
    return out.view(*query.shape[:-1], out.shape[-1])


@torch.library.custom_op("kernelmill::neighborhood_nn", mutates_args=())
def _nn(
    attn: Tensor, value: Tensor, kernel_size: list[int], stride: list[int], dilation: list[int],
    is_causal: list[bool],
) -> Tensor:  # fmt: skip
    """Neighbourhood weights times neighbourhood: (B, H, X.., prod(k)), (B, H, X.., D)."""
    tiling = _tiled(value, (kernel_size, stride, dilation, is_causal))
    weights = attn.flatten(0, 1).flatten(1, -2)
    return tiles.weighted(weights, value.flatten(0, 1), tiling).view(value.shape)


@torch.library.custom_op("kernelmill::neighborhood_in", mutates_args=())
def _in(
    attn: Tensor, query: Tensor, kernel_size: list[int], stride: list[int], dilation: list[int],
    is_causal: list[bool],
) -> Tensor:  # fmt: skip
    """Weights times the inverse neighbourhood: the transpose of ``neighborhood_nn``."""
    tiling = _tiled(query, (kernel_size, stride, dilation, is_causal))
    weights = attn.flatten(0, 1).flatten(1, -2)
    return tiles.scattered(weights, query.flatten(0, 1), tiling).view(query.shape)


@_pn.register_fake
def _(query, key, kernel_size, stride, dilation, is_causal):
    return query.new_empty(*query.shape[:-1], torch.Size(kernel_size).numel())


@_nn.register_fake
@_in.register_fake
def _(attn, x, kernel_size, stride, dilation, is_causal):
    return x.new_empty(x.shape)


def _keep(ctx, inputs, output) -> None:
    ctx.save_for_backward(*inputs[:2])
    ctx.window = inputs[2:]


def _pn_backward(ctx, grad):
    query, key = ctx.saved_tensors
    need_query, need_key = ctx.needs_input_grad[:2]
    return (
        _nn(grad, key, *ctx.window) if need_query else None,
        _in(grad, query, *ctx.window) if need_key else None,
        *(None,) * 4,
    )


def _nn_backward(ctx, grad):
    attn, value = ctx.saved_tensors
    need_attn, need_value = ctx.needs_input_grad[:2]
    return (
        _pn(grad, value, *ctx.window) if need_attn else None,
        _in(attn, grad, *ctx.window) if need_value else None,
        *(None,) * 4,
    )


def _in_backward(ctx, grad):
    attn, query = ctx.saved_tensors
    need_attn, need_query = ctx.needs_input_grad[:2]
    return (
        _pn(query, grad, *ctx.window) if need_attn else None,
        _nn(attn, grad, *ctx.window) if need_query else None,
        *(None,) * 4,
    )


for _op, _backward in ((_pn, _pn_backward), (_nn, _nn_backward), (_in, _in_backward)):
    _op.register_autograd(_backward, setup_context=_keep)
