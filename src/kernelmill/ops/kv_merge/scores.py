"""What decides on merging: likeness of neighbouring keys, and how much attention a token gets."""

from __future__ import annotations

import torch
from torch import Tensor

from kernelmill.ops.kv_merge import cpu, triton
from kernelmill.ops.kv_merge.checks import check_cache, wide, without_autocast
from kernelmill.ops.kv_merge.reference import (
    adjacent_cosine_reference,
    attention_column_sums_reference,
)
from kernelmill.ops.numerics import sum_dtype
from kernelmill.ops.registry import Example, Kernels, Operator, register

CHUNK = 256  # queries whose probabilities the gradient holds at once


def adjacent_cosine(keys: Tensor) -> Tensor:
    """Cosine similarity of neighbouring keys.

    ``c_i = k_i . k_{i+1} / (|k_i| |k_{i+1}|)``, 0 beside a zero vector.

    Args:
        keys: (B, H, T, d).

    Returns:
        (B, H, T - 1), dtype of ``keys``.

    Raises:
        TypeError, ValueError: not a floating-point tensor of four dimensions.

    Example:
        >>> keys = torch.tensor([[[[1.0, 0.0], [2.0, 0.0], [0.0, 3.0]]]])
        >>> adjacent_cosine(keys)
        tensor([[[1., 0.]]])
    """
    check_cache("keys", keys)
    return COSINE(keys).to(keys.dtype)


def attention_column_sums(
    queries: Tensor,
    keys: Tensor,
    *,
    scale: float | None = None,
    causal: bool = True,
    window: int | None = None,
) -> Tensor:
    """How much attention each token gets: the score by which KVMerger protects and picks pivots.

    ``a_j = mean over query heads of sum_i softmax_j(scale q_i . k_j)``

    Args:
        queries: (B, H G, Q, d), those of the last Q tokens. keys: (B, H, T, d).
        scale: default ``d ** -0.5``. causal: query i sees no key behind its own token.
        window: only the last so many queries.

    Returns:
        (B, H, T), dtype of ``keys``.

    Raises:
        TypeError, ValueError: shapes, dtypes or values do not fit.

    Source: KVMerger, arXiv 2407.08454, after H2O, arXiv 2306.14048.

    Example:
        >>> keys = torch.zeros(1, 1, 3, 2)
        >>> attention_column_sums(torch.zeros(1, 2, 3, 2), keys)  # 1 + 1/2 + 1/3, ...
        tensor([[[1.8333, 0.8333, 0.3333]]])
    """
    check_cache("keys", keys)
    check_cache("queries", queries)
    batch, heads, total, width = keys.shape
    if queries.shape[0] != batch or queries.shape[3] != width or queries.shape[1] % max(heads, 1):
        raise ValueError(
            f"queries: got shape {tuple(queries.shape)} for keys {tuple(keys.shape)}; wanted "
            f"({batch}, a multiple of {heads}, up to {total}, {width})"
        )
    if queries.shape[2] > total:
        raise ValueError(f"queries: {queries.shape[2]} queries for {total} keys")
    if window is not None:
        if window < 1:
            raise ValueError(f"window: got {window}, wanted at least 1 query or None")
        queries = queries[:, :, max(0, queries.shape[2] - window) :]
    return COLUMN_SUMS(queries, keys, scale, causal).to(keys.dtype)


def _cosine_plain(keys):
    return adjacent_cosine_reference(wide(keys))


def _cosine_fake(keys):
    batch, heads, total, _ = keys.shape
    shape = (batch, heads, max(total - 1, 0))
    return (keys.new_empty(shape, dtype=sum_dtype(keys.dtype)),)


def _cosine_backward(needs, grads, args, results):
    """d c / d a = (b' - c a') / |a| with a' = a / |a|, for both ends of every edge."""
    keys, cosine, grad = wide(args[0]), results[0].unsqueeze(-1), grads[0].unsqueeze(-1)
    norm = keys.square().sum(-1, keepdim=True).sqrt()
    unit = keys / torch.where(norm > 0, norm, 1)
    norm = torch.where(norm > 0, norm, torch.inf)
    a, b = unit[..., :-1, :], unit[..., 1:, :]
    found = torch.zeros_like(keys)
    found[..., :-1, :] += grad * (b - cosine * a) / norm[..., :-1, :]
    found[..., 1:, :] += grad * (a - cosine * b) / norm[..., 1:, :]
    return (found.to(args[0].dtype),)


def _sums_plain(queries, keys, scale, causal):
    with without_autocast(keys):
        return attention_column_sums_reference(wide(queries), wide(keys), scale, causal)


def _sums_fake(queries, keys, scale, causal):
    dtype = sum_dtype(torch.promote_types(queries.dtype, keys.dtype))
    return (keys.new_empty(keys.shape[:3], dtype=dtype),)


def _sums_backward(needs, grads, args, results):
    """Through the softmax, in chunks of queries: memory stays linear in the tokens."""
    queries, keys, scale, causal = args
    heads, total = keys.shape[1:3]
    grouped, k = wide(queries).unflatten(1, (heads, -1)), wide(keys).unsqueeze(2)
    count, groups = grouped.shape[3], max(grouped.shape[2], 1)
    scale = keys.shape[3] ** -0.5 if scale is None else scale
    wanted = (grads[0] / groups)[:, :, None, None, :]
    place = torch.arange(total, device=keys.device)
    grad_q, grad_k = torch.zeros_like(grouped), torch.zeros_like(k)
    for first in range(0, count, CHUNK):
        q = grouped[..., first : first + CHUNK, :]
        with without_autocast(keys):
            logits = scale * q @ k.mT
            if causal:
                last = place[total - count + first :][: q.shape[3], None]
                logits = logits.masked_fill(place > last, -torch.inf)
            p = logits.softmax(-1)
            slope = scale * p * (wanted - (p * wanted).sum(-1, keepdim=True))
            grad_q[..., first : first + CHUNK, :] = slope @ k
            grad_k += (slope.mT @ q).sum(2, keepdim=True)
    found = grad_q.flatten(1, 2).to(queries.dtype), grad_k.squeeze(2).to(keys.dtype)
    return tuple(g if need else None for g, need in zip(found, needs, strict=True))


def _keys(*shape):
    return lambda randn, dtype, device: {"keys": randn(*shape)}


def _attention(batch, heads, groups, count, total, width, **options):
    def make(randn, dtype, device):
        queries = randn(batch, heads * groups, count, width)
        return {"queries": queries, "keys": randn(batch, heads, total, width), **options}

    return make


COSINE = register(
    Operator(
        name="adjacent_cosine",
        function=adjacent_cosine,
        reference=adjacent_cosine_reference,
        examples=(
            Example("heads", _keys(2, 3, 37, 20)),
            Example("wide", _keys(1, 2, 9, 130)),
            Example("one_token", _keys(2, 1, 1, 8)),
            Example("empty_batch", _keys(0, 2, 5, 8)),
            Example("llama_8k", _keys(1, 8, 8192, 128), bench=True),
        ),
        args="Tensor keys",
        differentiable=("keys",),
        plain=_cosine_plain,
        fake=_cosine_fake,
        kernels={
            "cpu": Kernels(cpu.adjacent_cosine, _cosine_backward, cpu.fits),
            "triton": Kernels(triton.adjacent_cosine, _cosine_backward, triton.fits),
        },
        paper="kvmerger",
    )
)

COLUMN_SUMS = register(
    Operator(
        name="attention_column_sums",
        function=attention_column_sums,
        reference=attention_column_sums_reference,
        examples=(
            Example("heads", _attention(2, 3, 1, 33, 33, 16)),
            Example("groups", _attention(1, 2, 3, 5, 40, 20)),
            Example("window", _attention(2, 1, 2, 19, 41, 24, window=4)),
            Example("both_ways", _attention(1, 2, 2, 35, 35, 9, causal=False, scale=0.5)),
            Example("one_token", _attention(2, 1, 1, 1, 1, 7)),
            Example("empty_batch", _attention(0, 2, 2, 3, 4, 8)),
            Example("llama_4k", _attention(1, 8, 4, 4096, 4096, 128), bench=True),
        ),
        args="Tensor queries, Tensor keys, float? scale, bool causal",
        differentiable=("queries", "keys"),
        plain=_sums_plain,
        fake=_sums_fake,
        kernels={
            "cpu": Kernels(cpu.column_sums, _sums_backward, cpu.fits),
            "triton": Kernels(triton.column_sums, _sums_backward, triton.fits),
        },
        paper="kvmerger",
    )
)
