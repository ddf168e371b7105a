"""kv_merge and merged_attention beside the rest of torch: compiler, export, autograd, autocast."""

from __future__ import annotations

import pytest
import torch
from torch._subclasses import FakeTensorMode

from kernelmill.ops.kv_merge import kv_merge, merged_attention, merging
from kernelmill.ops.kv_merge.attention import decode
from kernelmill.ops.kv_merge.merging import merge_cache
from kernelmill.ops.registry import use_backend
from tests.ops import battery
from tests.ops.test_kv_merge import BACKENDS, cache, same

OPTIONS = [
    {"budget": 20, "recent": 5, "heavy": 4},
    {"budget": 9, "recent": 5, "heavy": 4},  # evicts
    {"budget": 99},
    {"budget": 18, "sigma": 2.0, "mass": "value", "max_set": 4, "recent": 3},
    {"budget": 15, "pivot": "last", "weights": "uniform", "mass": "none"},
]
NAMES = ["plain", "evicts", "identity", "value", "controls"]
each = pytest.mark.parametrize("options", OPTIONS, ids=NAMES)


def attended(keys, values, scores, queries, options):
    merged = kv_merge(keys, values, scores, **options)
    return merged_attention(queries, merged), merged


def given(dtype=torch.float32, grad=False):
    keys, values, scores = cache(2, 2, 40, 16, 12, dtype)
    generator = torch.Generator().manual_seed(3)
    queries = torch.randn(2, 4, 3, 16, generator=generator).to(dtype)
    return keys.requires_grad_(grad), values.requires_grad_(grad), scores, queries


@pytest.mark.parametrize("dynamic", [False, True], ids=["static", "dynamic"])
@each
def test_compiles_without_a_graph_break(options, dynamic):
    torch._dynamo.reset()
    compiled = torch.compile(attended, fullgraph=True, backend="aot_eager", dynamic=dynamic)
    found, wanted = [], []
    for function, into in ((compiled, found), (attended, wanted)):
        keys, values, scores, queries = given(grad=True)
        out, merged = function(keys, values, scores, queries, options)
        into += [out, *merged, *torch.autograd.grad(out.square().sum(), (keys, values))]
    for a, b in zip(found, wanted, strict=True):
        torch.testing.assert_close(a, b)


def test_by_threshold_compiles_where_the_compiler_takes_such_shapes():
    torch._dynamo.reset()
    keys, values, scores, _ = given()
    with torch._dynamo.config.patch(capture_dynamic_output_shape_ops=True):
        compiled = torch.compile(
            lambda *args: kv_merge(*args, threshold=0.8), fullgraph=True, backend="aot_eager"
        )
        same(compiled(keys, values, scores), kv_merge(keys, values, scores, threshold=0.8), 0)


@each
def test_exports(options):
    class Model(torch.nn.Module):
        def forward(self, *args):
            return attended(*args, options)

    args = given()
    program = torch.export.export(Model(), args)
    assert "kernelmill.kv_merge" in str(program.graph)
    out, merged = program.module()(*args)
    wanted, wanted_merged = attended(*args, options)
    torch.testing.assert_close(out, wanted)
    same(merged, wanted_merged, 0)


@pytest.mark.parametrize("device", ["fake", "meta"])
@each
def test_shapes_without_values(options, device):
    wanted = kv_merge(*given()[:3], **options)
    if device == "meta":
        found = kv_merge(*(x.to("meta") for x in given()[:3]), **options)
    else:
        with FakeTensorMode() as mode:
            found = kv_merge(*(mode.from_tensor(x) for x in given()[:3]), **options)
    for a, b in zip(found, wanted, strict=True):
        assert (a.shape, a.dtype, a.stride()) == (b.shape, b.dtype, b.stride())


@pytest.mark.parametrize("budget", [20, None])
@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_opcheck(backend, budget):
    if backend == "cpu" and not BACKENDS:
        pytest.skip("needs compiled kernels")
    keys, values, scores, _ = given(grad=True)
    counts = torch.randint(1, 4, scores.shape)
    threshold = 0.8 if budget is None else None
    args = (keys, values, scores, counts, None, None, budget, threshold, 5, 4, None, "bias", None,
            True, True, backend)  # fmt: skip
    torch.library.opcheck(merge_cache, args)
    merged = merge_cache(*args)
    grads = [torch.randn_like(x) for x in merged[:2]]
    ids, pivots = merged[3:5]
    torch.library.opcheck(
        torch.ops.kernelmill.kv_merge_backward.default,
        (*grads, keys.detach(), values.detach(), counts, ids, pivots, None, "bias", True),
    )


def test_a_graph_with_kernels_runs_without_them(monkeypatch):
    keys, values, scores, _ = given()
    args = (keys, values, scores, None, None, None, 20, None, 5, 4, None, "bias", None, True, True)
    wanted = merge_cache(*args, "reference")
    monkeypatch.setattr(merging, "native", lambda: None)
    for a, b in zip(merge_cache(*args, "cpu"), wanted, strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("backend", ["reference", *BACKENDS])
@each
def test_gradients_are_those_of_the_reference(options, backend):
    """No kernel has a gradient of its own, and none drops it."""

    def gradients(dtype, backend):
        keys, values, scores, _ = given(dtype, grad=True)
        with battery.backend(backend):
            merged = kv_merge(keys, values, scores.to(dtype), **options)
        assert merged.keys.requires_grad and not merged.counts.requires_grad
        ramp = torch.linspace(-1, 1, merged.keys.numel(), dtype=dtype).view_as(merged.keys)
        loss = (merged.keys * ramp).sum() + merged.values.square().sum()
        return torch.autograd.grad(loss, (keys, values))

    for a, b in zip(
        gradients(torch.float32, backend), gradients(torch.float64, "reference"), strict=True
    ):
        assert (a.double() - b).abs().max() <= 2e-5 * b.abs().max()


@each
def test_gradcheck(options):
    keys, values, scores = cache(1, 2, 40, 4, 3, torch.float64)
    inputs = (keys.requires_grad_(), values.requires_grad_())

    def function(k, v):
        return kv_merge(k, v, scores, **options)[:2]

    assert torch.autograd.gradcheck(function, inputs, fast_mode=True)
    assert torch.autograd.gradgradcheck(function, inputs, fast_mode=True)


def test_autocast_changes_nothing():
    keys, values, scores, queries = given()
    for backend in ("reference", *BACKENDS):
        with battery.backend(backend):
            wanted = kv_merge(keys, values, scores, budget=20)
            with torch.autocast("cpu", torch.bfloat16):
                found = kv_merge(keys, values, scores, budget=20)
                mixed = kv_merge(keys.bfloat16(), values, scores, budget=20)
        same(found, wanted, 0)
        assert (mixed.keys.dtype, mixed.values.dtype) == (torch.bfloat16, torch.float32)


def test_the_split_attention_has_a_fake():
    keys, values, scores, queries = given()
    merged = kv_merge(keys, values, scores, budget=20)
    with FakeTensorMode() as mode:
        args = [mode.from_tensor(x) for x in (queries, *merged[:3])]
        assert decode(*args, 0.25, True).shape == (2, 4, 3, 12)
    # without a GPU, and with gradients, it is not taken
    with use_backend("reference"):
        wanted = merged_attention(queries, merged)
    torch.testing.assert_close(merged_attention(queries, merged), wanted)
