"""KV-cache merging: golden vectors, properties, limits, bad input."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import torch
from safetensors import safe_open

from kernelmill.ops.kv_merge import (
    adjacent_cosine,
    attention_column_sums,
    kv_merge,
    merged_attention,
)
from kernelmill.ops.native import native
from kernelmill.ops.registry import use_backend
from tests import goldens
from tests.ops import battery

TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-5}
MASS = {"set_size": "value", "none": "none"}


def config(name):
    path = goldens.FOLDER / "kvmerger" / f"{name}.safetensors"
    with safe_open(path, "pt") as file:
        found = json.loads(file.metadata()["config"])
    mass = MASS[found.pop("value_scale", "set_size")]
    options = {k: v for k, v in found.items() if k not in ("seed", "B", "Hq", "Hk", "T", "d", "dv")}
    return options | {"mass": mass}


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("name", goldens.names("kvmerger"))
def test_golden(name, dtype):
    golden, options = goldens.load("kvmerger", name), config(name)
    keys, values = (golden[f"input/{n}"].to(dtype) for n in ("keys", "values"))
    queries, future = (golden[f"input/{n}"].to(dtype) for n in ("queries", "future_queries"))

    def near(found, wanted):
        scale = max(wanted.abs().max().item(), 1)
        assert found.shape == wanted.shape
        assert (found.double() - wanted).abs().max().item() <= TOLERANCE[dtype] * scale

    near(adjacent_cosine(keys), golden["output/adjacent_cosine"])
    scores = attention_column_sums(queries, keys)
    near(scores, golden["output/scores"])
    merged = kv_merge(keys, values, golden["output/scores"].to(dtype), **options)
    for key in ("set_ids", "lengths", "counts", "pivots"):
        assert torch.equal(getattr(merged, key), golden[f"output/{key}"]), key
    near(merged.keys, golden["output/keys"])
    near(merged.values, golden["output/values"])
    near(merged_attention(future, merged, mass="none"), golden["output/attention_merged"])
    if "output/attention_merged_log_count_bias" in golden:
        wanted = golden["output/attention_merged_log_count_bias"]
        near(merged_attention(future, merged, mass="bias"), wanted)


# ---- kernels against the reference ---------------------------------------------------------

BACKENDS = ["cpu:" + isa for isa in native().isas] if native() else []
SHAPES = [(1, 1, 2, 1, 1), (2, 3, 37, 20, 9), (1, 2, 130, 64, 64), (3, 1, 65, 33, 48)]


def cache(batch, heads, tokens, width, value_width, dtype=torch.float32, seed=0):
    """Keys that walk at random, so that neighbours are alike."""
    generator = torch.Generator().manual_seed(seed)
    steps = torch.randn(batch, heads, tokens, width, generator=generator)
    jumps = (torch.rand(batch, heads, tokens, 1, generator=generator) < 0.2) * 3.0 + 0.4
    keys = (steps * jumps).cumsum(2) / 2
    values = torch.randn(batch, heads, tokens, value_width, generator=generator)
    scores = torch.rand(batch, heads, tokens, generator=generator)
    return keys.to(dtype), values.to(dtype), scores


def same(found, wanted, tolerance):
    for name in ("counts", "set_ids", "pivots", "lengths"):
        assert torch.equal(getattr(found, name), getattr(wanted, name)), name
    for name in ("keys", "values"):
        a, b = getattr(found, name).double(), getattr(wanted, name).double()
        assert a.shape == b.shape
        if b.numel():
            assert (a - b).abs().max() <= tolerance * max(b.abs().max().item(), 1), name


def both(backend, *args, **options):
    with battery.backend(backend), battery.poisoned():
        found = kv_merge(*args, **options)
    with use_backend("reference"):
        return found, kv_merge(*args, **options)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("backend", BACKENDS)
def test_kernels_are_the_reference(backend, shape, dtype):
    keys, values, scores = cache(*shape, dtype)
    tokens = shape[2]
    tolerance = {torch.float32: 1e-5, torch.bfloat16: 1e-2, torch.float16: 2e-3}[dtype]
    counts = torch.randint(1, 5, scores.shape)
    recent, heavy = tokens // 7, tokens // 9
    for options in (
        {"threshold": 0.8}, {"threshold": 2.0}, {"threshold": -2.0, "mass": "value"},
        {"budget": max(1, tokens // 2)}, {"budget": tokens, "sigma": 5.0},
        {"budget": tokens // 2 + 1, "counts": counts, "mass": "value"},
        {"threshold": 0.7, "counts": counts, "sigma": 0.5, "weights": "uniform"},
        {"budget": 1, "shortfall": "evict"}, {"budget": tokens // 2 + 1, "pivot": "last"},
    ):  # fmt: skip
        found, wanted = both(backend, keys, values, scores, recent=recent, heavy=heavy, **options)
        same(found, wanted, tolerance)


@pytest.mark.parametrize("backend", BACKENDS)
def test_kernels_take_strides(backend):
    keys, values, scores = cache(2, 3, 40, 24, 16)
    wide = torch.full((2, 40, 3, 30), float("nan"))
    wide[..., :24] = keys.transpose(1, 2)
    strided = wide.transpose(1, 2)[..., :24]
    assert not strided.is_contiguous()
    found, wanted = both(backend, strided, values[:, :, :, :], scores, budget=20)
    same(found, wanted, 1e-5)
    found, _ = both(backend, battery.strided(keys), battery.strided(values), scores, budget=20)
    same(found, wanted, 1e-5)


@pytest.mark.parametrize("count", [1, 2, 5])
@pytest.mark.parametrize("backend", BACKENDS)
def test_threads_change_nothing(backend, count):
    keys, values, scores = cache(2, 4, 90, 32, 32)
    queries = torch.randn(2, 8, 90, 32)
    with battery.backend(backend):
        with battery.threads(1):
            wanted = kv_merge(keys, values, scores, budget=40, heavy=9, recent=9)
            sums = attention_column_sums(queries, keys)
        with battery.threads(count):
            found = kv_merge(keys, values, scores, budget=40, heavy=9, recent=9)
            assert torch.equal(attention_column_sums(queries, keys), sums)
    assert all(torch.equal(a, b) for a, b in zip(found, wanted, strict=True))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize(
    ("heads", "groups", "queries", "tokens", "width"),
    [(2, 1, 33, 33, 16), (1, 3, 5, 40, 20), (3, 2, 1, 1, 7), (1, 1, 70, 131, 64)],
)
@pytest.mark.parametrize("backend", BACKENDS)
def test_column_sums(backend, heads, groups, queries, tokens, width, dtype):
    q = torch.randn(2, heads * groups, queries, width).to(dtype)
    k = torch.randn(2, heads, tokens, width).to(dtype)
    for causal in (True, False):
        for options in ({}, {"window": 3}, {"scale": 2.0}):
            with use_backend("reference"):
                wanted = attention_column_sums(q.double(), k.double(), causal=causal, **options)
            with battery.backend(backend), battery.poisoned():
                found = attention_column_sums(q, k, causal=causal, **options)
            assert found.dtype == dtype
            tolerance = 2e-5 if dtype == torch.float32 else 2e-2
            assert (found.double() - wanted).abs().max() <= tolerance * wanted.max()


# ---- properties ------------------------------------------------------------------------------


@pytest.mark.parametrize("budget", [40, 64, 100, 128])
def test_a_budget_is_met_exactly_and_nothing_is_lost(budget):
    keys, values, scores = cache(2, 3, 128, 16, 16)
    found = kv_merge(keys, values, scores, budget=budget, recent=12, heavy=10)
    assert found.keys.shape[2] == budget and (found.lengths == budget).all()
    assert (found.counts.sum(-1) == 128).all()
    steps = found.set_ids.diff(dim=-1)
    assert ((steps == 0) | (steps == 1)).all()  # sets are contiguous and in order
    alone = found.counts.gather(-1, found.set_ids.long()) == 1
    slot = found.set_ids.long().unsqueeze(-1)
    assert torch.equal(found.keys.gather(2, slot.expand_as(keys))[alone], keys[alone])
    assert torch.equal(found.values.gather(2, slot.expand_as(values))[alone], values[alone])
    assert alone[..., -12:].all()
    heavy = scores[..., :-12].topk(10).indices
    assert alone.gather(-1, heavy).all()


def test_nothing_to_merge_is_the_identity():
    keys, values, scores = cache(1, 2, 30, 8, 8)
    for options in (
        {"budget": 30},
        {"budget": 99},
        {"threshold": 1.0},
        {"budget": 30, "heavy": 30},
    ):
        found = kv_merge(keys, values, scores, **options)
        assert torch.equal(found.keys, keys) and torch.equal(found.values, values)
        assert (found.counts == 1).all()


def test_equal_tokens_merge_without_a_trace_under_the_bias_only():
    keys, values, scores = cache(1, 2, 12, 8, 8)
    often = torch.tensor([1, 3, 2, 5, 1, 1, 4, 2, 6, 1, 2, 2])
    keys, values = (x.repeat_interleave(often, 2) for x in (keys, values))
    scores = torch.rand(1, 2, 30)
    queries = torch.randn(1, 4, 5, 8)
    full = torch.nn.functional.scaled_dot_product_attention(
        queries, keys.repeat_interleave(2, 1), values.repeat_interleave(2, 1)
    )
    for mass, exact in (("bias", True), ("none", False), ("value", False)):
        found = kv_merge(keys, values, scores, threshold=1 - 1e-5, mass=mass)
        assert torch.equal(found.counts.long(), often.expand(1, 2, 12))
        error = (merged_attention(queries, found, mass=mass) - full).abs().max()
        assert (error < 1e-5) == exact, (mass, error)


def test_weights_between_mean_and_pivot():
    keys, values, scores = cache(1, 1, 6, 8, 8)
    mean = kv_merge(keys, values, scores, threshold=-2.0, sigma=1e6)
    torch.testing.assert_close(mean.keys[0, 0, 0], keys[0, 0].mean(0))
    pivot = int(scores[0, 0].argmax())
    sharp = kv_merge(keys, values, scores, threshold=-2.0, sigma=1e-3)
    torch.testing.assert_close(sharp.keys[0, 0, 0], keys[0, 0, pivot])
    assert int(sharp.pivots) == int(mean.pivots) == pivot
    uniform = kv_merge(keys, values, scores, threshold=-2.0, weights="uniform")
    torch.testing.assert_close(uniform.values[0, 0, 0], values[0, 0].mean(0))
    value = kv_merge(keys, values, scores, threshold=-2.0, sigma=1e6, mass="value")
    torch.testing.assert_close(value.values[0, 0, 0], values[0, 0].sum(0))


def test_scaling_and_permuting():
    keys, values, scores = cache(2, 3, 50, 8, 8)
    options = {"budget": 25, "recent": 5, "heavy": 5}
    found = kv_merge(keys, values, scores, **options)
    scaled = kv_merge(keys * 4, values, scores, **options)
    assert torch.equal(scaled.set_ids, found.set_ids)
    torch.testing.assert_close(scaled.values, found.values)
    order = torch.tensor([2, 0, 1])
    permuted = kv_merge(keys[:, order], values[:, order], scores[:, order], **options)
    assert all(torch.equal(a, b[:, order]) for a, b in zip(permuted, found, strict=True))


@pytest.mark.parametrize("mass", ["bias", "value"])
def test_merging_twice_counts_every_token(mass):
    keys, values, scores = cache(1, 2, 60, 8, 8)
    first = kv_merge(keys, values, scores, budget=30, mass=mass)
    more, new, _ = cache(1, 2, 20, 8, 8, seed=1)
    joined = [torch.cat(pair, 2) for pair in ((first.keys, more), (first.values, new))]
    counts = torch.cat([first.counts, torch.ones(1, 2, 20, dtype=torch.int32)], 2)
    second = kv_merge(*joined, torch.rand(1, 2, 50), budget=25, counts=counts, mass=mass)
    assert (second.counts.sum(-1) == 80).all()
    if mass == "value":  # with one weight for all, sums of values stay what they were
        flat = {"weights": "uniform", "mass": "value", "threshold": -2.0}
        once = kv_merge(keys, values, scores, **flat)
        half = kv_merge(keys, values, scores, budget=30, weights="uniform", mass="value")
        again = kv_merge(half.keys, half.values, torch.rand(1, 2, 30), counts=half.counts, **flat)
        torch.testing.assert_close(again.values, once.values)


@pytest.mark.parametrize("mass", ["bias", "value", "none"])
def test_padding_has_no_weight(mass):
    keys, values, scores = cache(1, 2, 30, 8, 8)
    counts = torch.ones(1, 2, 30, dtype=torch.int32)
    counts[..., :7] = 0
    options = {"threshold": -2.0, "max_set": None, "mass": mass}
    for backend in ("reference", *BACKENDS):
        with battery.backend(backend):
            found = kv_merge(keys, values, scores, counts=counts, **options)
            padded = kv_merge(keys[:, :, :7], values[:, :, :7], scores[..., :7],
                              counts=counts[..., :7], **options)  # fmt: skip
        assert (found.counts == 23).all() and (padded.counts == 0).all()
        assert padded.keys.isfinite().all() and padded.values.isfinite().all()
        if (found.pivots >= 7).all():
            alone = kv_merge(keys[:, :, 7:], values[:, :, 7:], scores[..., 7:], **options)
            torch.testing.assert_close(found.keys, alone.keys)
            torch.testing.assert_close(found.values, alone.values)


def test_sets_can_be_kept_small():
    keys, values, scores = cache(1, 2, 64, 8, 8)
    found = kv_merge(keys, values, scores, threshold=-2.0, max_set=4)
    assert (found.counts[found.counts > 0] <= 4).all() and (found.lengths == 16).all()
    found = kv_merge(keys, values, scores, budget=32, max_set=2)
    assert (found.counts <= 2).all() and (found.lengths == 32).all()


def test_short_budgets():
    keys, values, scores = cache(1, 2, 40, 8, 8)
    found = kv_merge(keys, values, scores, budget=18, recent=9, heavy=8)
    assert (found.lengths == 18).all() and (found.set_ids == -1).any()
    assert (found.set_ids[..., -9:] >= 0).all()  # protected slots go last
    found = kv_merge(keys, values, scores, budget=10, recent=9, heavy=8)
    assert (found.lengths == 10).all() and (found.counts == 1).all()
    with pytest.raises(ValueError, match="budget: got 10, but with the protected tokens only"):
        kv_merge(keys, values, scores, budget=10, recent=9, heavy=8, shortfall="error")


def test_controls_need_no_cosine():
    keys, values, scores = cache(1, 2, 40, 8, 8)
    draws = [
        kv_merge(keys, values, scores, budget=20, edge_order="random", pivot="random",
                 generator=torch.Generator().manual_seed(seed)) for seed in (0, 0, 1)
    ]  # fmt: skip
    assert torch.equal(draws[0].set_ids, draws[1].set_ids)
    assert not torch.equal(draws[0].set_ids, draws[2].set_ids)


def test_tiny_and_empty_caches():
    for shape in ((1, 1, 1, 4, 4), (0, 2, 5, 4, 4), (2, 0, 5, 4, 4)):
        keys, values, scores = cache(*shape)
        found = kv_merge(keys, values, scores, budget=1)
        assert found.keys.shape[:2] == shape[:2]
        assert adjacent_cosine(keys).shape == (*shape[:2], shape[2] - 1)
    zero = torch.zeros(1, 1, 3, 4)
    assert torch.equal(adjacent_cosine(zero), torch.zeros(1, 1, 2))


def test_gradients_go_through_the_reference():
    keys, values, scores = cache(1, 1, 10, 4, 4)
    keys, values = keys.double().requires_grad_(), values.double().requires_grad_()
    for sigma in ("adaptive", 2.0):
        assert torch.autograd.gradcheck(
            lambda k, v, sigma=sigma: kv_merge(k, v, scores, budget=5, sigma=sigma)[:2],
            (keys, values),
        )


# ---- bad input ---------------------------------------------------------------------------------

GOOD = cache(1, 2, 8, 4, 4)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({}, "budget, threshold: got neither"),
        ({"budget": 4, "threshold": 0.5}, "budget, threshold: got both"),
        ({"budget": 0}, "budget: got 0"),
        ({"budget": 4, "recent": -1}, "recent: got -1, wanted 0 to 8"),
        ({"budget": 4, "heavy": 9}, "heavy: got 9"),
        ({"budget": 4, "sigma": 0.0}, "sigma: got 0.0"),
        ({"budget": 4, "sigma": "wide"}, "sigma: got 'wide'"),
        ({"budget": 4, "mass": "log"}, "mass: got 'log', wanted one of bias, value, none"),
        ({"budget": 4, "max_set": 0}, "max_set: got 0"),
        ({"budget": 4, "pivot": "first"}, "pivot: got 'first'"),
        ({"budget": 4, "values": GOOD[1][:, :, :5]}, "values: got shape"),
        ({"budget": 4, "scores": GOOD[2][..., :5]}, "scores: got shape"),
        ({"budget": 4, "scores": GOOD[2] * float("nan")}, "scores: not all of them are finite"),
        ({"budget": 4, "keys": GOOD[0][0]}, "keys: got shape"),
        ({"budget": 4, "counts": torch.ones(1, 2, 8)}, "counts: got torch.float32"),
    ],
)
def test_bad_arguments(changes, told):
    given = dict(zip(("keys", "values", "scores"), GOOD, strict=True)) | changes
    with pytest.raises(ValueError, match=told):
        kv_merge(given.pop("keys"), given.pop("values"), given.pop("scores"), **given)


def test_bad_types_and_queries():
    with pytest.raises(TypeError, match="keys: got torch.int64"):
        adjacent_cosine(torch.ones(1, 1, 2, 2, dtype=torch.long))
    with pytest.raises(ValueError, match="queries: got shape"):
        attention_column_sums(torch.ones(1, 3, 2, 4), torch.ones(1, 2, 2, 4))
    with pytest.raises(ValueError, match="5 queries for 2 keys"):
        attention_column_sums(torch.ones(1, 2, 5, 4), torch.ones(1, 2, 2, 4))
    with pytest.raises(ValueError, match="window: got 0"):
        attention_column_sums(torch.ones(1, 2, 2, 4), torch.ones(1, 2, 2, 4), window=0)


MEMORY = """
import resource, torch
from kernelmill.ops.kv_merge import attention_column_sums
torch.set_num_threads(1)
q, k = torch.randn(1, 2, 8192, 16), torch.randn(1, 1, 8192, 16)
attention_column_sums(q[:, :, :99], k[:, :, :99])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
attention_column_sums(q, k)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.skipif(not BACKENDS or sys.platform != "linux", reason="needs kernels, and KiB")
def test_column_sums_hold_no_square_of_the_tokens():
    done = subprocess.run([sys.executable, "-c", MEMORY], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 16 * 1024  # one head's probabilities are 256 MiB
