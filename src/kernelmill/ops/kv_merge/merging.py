"""``torch.ops.kernelmill.kv_merge``: choice, eviction and merge as one operator.

Opaque to the compiler, with shapes that follow from the budget. (By threshold the number of slots
depends on the data.) Gradients of keys and values go through `merge_sets`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from kernelmill.ops.kv_merge import cpu, triton
from kernelmill.ops.kv_merge.checks import wide, without_autocast
from kernelmill.ops.kv_merge.reference import (
    chosen_edges,
    merge_sets,
    protected_tokens,
    set_ids,
    set_pivots,
)
from kernelmill.ops.kv_merge.scores import COSINE
from kernelmill.ops.native import native


def backend_for(keys: Tensor, values: Tensor) -> str:
    """Whose kernels take this cache."""
    if keys.dtype != values.dtype or keys.device != values.device:
        return "reference"
    return COSINE.choose(keys)[0]


@torch.library.custom_op("kernelmill::kv_merge", mutates_args=())
def merge_cache(
    keys: Tensor,
    values: Tensor,
    scores: Tensor,
    counts: Tensor | None,
    order: Tensor | None,
    pivot_scores: Tensor | None,
    budget: int | None,
    threshold: float | None,
    recent: int,
    heavy: int,
    sigma: float | None,
    mass: str,
    max_set: int | None,
    evict: bool,
    gaussian: bool,
    backend: str,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """The fields of `KVMerged`. ``order``: what ranks the edges instead of the cosine."""
    if backend == "cpu" and native() is None:  # a graph exported on a machine with kernels
        backend = "reference"
    if scores.device.type == "cpu" and not bool(scores.isfinite().all()):
        raise ValueError("scores: not all of them are finite")
    total = keys.shape[2]
    if order is None:
        order = COSINE(keys, backend=backend)
    merges = None if budget is None else max(0, total - budget)
    if backend == "cpu" and max_set is None and total:
        edges, merged = cpu.choose(order, scores, recent, heavy, merges, threshold or 0.0)
    else:
        protected = protected_tokens(scores, recent, heavy)
        eligible = ~protected[..., :-1] & ~protected[..., 1:]
        edges = chosen_edges(order, eligible, merges, threshold, max_set)
        merged = edges.sum(-1)
    evicted = None
    # Enough edges in any case? Then nobody waits for the device to say how many there were.
    sure = max_set is None and merges is not None and merges <= total - 1 - recent - 2 * heavy
    slots = min(budget, total) if sure else total - int(merged.min()) if merged.numel() else total
    if budget is not None and slots > budget:
        if not evict:
            raise ValueError(
                f"budget: got {budget}, but with the protected tokens only {slots} slots can be "
                "reached; lower recent or heavy, or take shortfall='evict'"
            )
        kept = protected_tokens(scores, recent, heavy)
        evicted, slots = _evicted(edges, scores, kept, total - merged, budget), budget
    by = wide(scores) if pivot_scores is None else pivot_scores
    how = (sigma, gaussian, mass)
    if backend == "cpu" and evicted is None and total:
        return cpu.merge(keys, values, counts, by, edges, slots, *how)
    ids, lengths = set_ids(edges, total, evicted)
    if backend == "triton" and total:
        found, pivots = triton.merge(keys, values, counts, by, ids, slots, *how)
    else:
        pivots = set_pivots(by, ids, slots)
        found = merge_sets(wide(keys), wide(values), counts, ids, pivots, *how)
    new_keys, new_values, new_counts = found
    return (
        new_keys.to(keys.dtype), new_values.to(values.dtype), new_counts,
        ids.int(), pivots.int(), lengths.int(),
    )  # fmt: skip


def _evicted(
    edges: Tensor, scores: Tensor, protected: Tensor, slots: Tensor, budget: int
) -> Tensor:
    """Which slots (numbered before eviction, padded to T) go: those of lowest summed score,
    protected ones last, the first on ties."""
    total = scores.shape[-1]
    ids = torch.nn.functional.pad(~edges, (1, 0), value=True).long().cumsum(-1) - 1
    sums = torch.zeros_like(wide(scores)).scatter_add(-1, ids, wide(scores))
    kept = torch.zeros(ids.shape, dtype=torch.long, device=ids.device)
    kept = kept.scatter_reduce(-1, ids, protected.long(), "amax")
    place = torch.arange(total, device=ids.device).expand(ids.shape)
    kept = torch.where(place < slots.unsqueeze(-1), kept, 2)  # no slot at all: last of all
    by_score = sums.argsort(dim=-1, stable=True)
    order = by_score.gather(-1, kept.gather(-1, by_score).argsort(dim=-1, stable=True))
    rank = torch.empty_like(order).scatter_(-1, order, place)
    return rank < (slots - budget).clamp(min=0).unsqueeze(-1)


@merge_cache.register_fake
def _fake(keys, values, scores, counts, order, pivot_scores, budget, *others):
    batch, heads, total, width = keys.shape
    if budget is not None:
        slots = torch.sym_min(budget, total)
    else:
        slots = torch.library.get_ctx().new_dynamic_size()

    def whole(*shape):
        return keys.new_empty(shape, dtype=torch.int32)

    return (
        keys.new_empty((batch, heads, slots, width)),
        values.new_empty((batch, heads, slots, values.shape[3])),
        whole(batch, heads, slots), whole(batch, heads, total), whole(batch, heads, slots),
        whole(batch, heads),
    )  # fmt: skip


@torch.library.custom_op("kernelmill::kv_merge_backward", mutates_args=())
def merge_backward(
    grad_keys: Tensor,
    grad_values: Tensor,
    keys: Tensor,
    values: Tensor,
    counts: Tensor | None,
    ids: Tensor,
    pivots: Tensor,
    sigma: float | None,
    mass: str,
    gaussian: bool,
) -> tuple[Tensor, Tensor]:
    """Gradients of keys and values, by autograd through the reference."""
    excluded = torch._C.DispatchKey.AutogradFunctionality
    with torch._C._SetExcludeDispatchKeyGuard(excluded, False), torch.enable_grad():
        keys, values = keys.detach().requires_grad_(), values.detach().requires_grad_()
        found = _differentiable(keys, values, counts, ids, pivots, sigma, mass, gaussian)
        grads = torch.autograd.grad(found, (keys, values), (grad_keys, grad_values))
    return tuple(g.contiguous() for g in grads)


@merge_backward.register_fake
def _fake_backward(grad_keys, grad_values, keys, values, *others):
    return keys.new_empty(keys.shape), values.new_empty(values.shape)


def _differentiable(keys, values, counts, ids, pivots, sigma, mass, gaussian):
    with without_autocast(keys):
        found = merge_sets(
            wide(keys), wide(values), counts, ids.long(), pivots.long(), sigma, gaussian, mass
        )
    return found[0].to(keys.dtype), found[1].to(values.dtype)


def _setup_context(ctx, inputs, output):
    keys, values, _, counts = inputs[:4]
    ctx.sigma, ctx.mass, ctx.gaussian = inputs[10], inputs[11], inputs[14]
    ctx.save_for_backward(keys, values, counts, output[3], output[4])
    ctx.mark_non_differentiable(*output[2:])
    ctx.set_materialize_grads(False)


def _backward(ctx, grad_keys, grad_values, *_):
    keys, values, counts, ids, pivots = ctx.saved_tensors
    shape = pivots.shape
    if grad_keys is None:
        grad_keys = keys.new_zeros(*shape, keys.shape[3])
    if grad_values is None:
        grad_values = values.new_zeros(*shape, values.shape[3])
    how = (ctx.sigma, ctx.mass, ctx.gaussian)
    if torch.is_grad_enabled():  # create_graph=True: that of the operator has no gradient
        k, v = (x if x.requires_grad else x.detach().requires_grad_() for x in (keys, values))
        k, v = k.view_as(k), v.view_as(v)
        found = _differentiable(k, v, counts, ids, pivots, *how)
        grads = torch.autograd.grad(found, (k, v), (grad_keys, grad_values), create_graph=True)
    else:
        grads = merge_backward(grad_keys, grad_values, keys, values, counts, ids, pivots, *how)
    wanted = ctx.needs_input_grad
    return (*(g if need else None for g, need in zip(grads, wanted, strict=False)), *[None] * 14)


merge_cache.register_autograd(_backward, setup_context=_setup_context)
