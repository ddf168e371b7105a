"""The merging cache in transformers: positions, beams, memory, and nothing lost where nothing is
merged."""

from __future__ import annotations

import pytest
import torch

transformers = pytest.importorskip("transformers")

import warnings  # noqa: E402

from transformers import DynamicCache, LlamaConfig, LlamaForCausalLM  # noqa: E402

from kernelmill.models.kv_merger import (  # noqa: E402
    ATTENTION,
    KVMergerCache,
    KVMergerConfig,
    cache_argument,
)

NAME = cache_argument(LlamaForCausalLM)


def make(kv_heads=2, layers=3, attention=ATTENTION, seed=0):
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=97, hidden_size=64, intermediate_size=96, num_hidden_layers=layers,
        num_attention_heads=4, num_key_value_heads=kv_heads, max_position_embeddings=512,
        bos_token_id=1, eos_token_id=None, pad_token_id=0,
    )  # fmt: skip
    model = LlamaForCausalLM(config).eval()
    # sharp attention: else all logits of a random model are alike
    with torch.no_grad():
        for layer in model.model.layers:
            layer.self_attn.q_proj.weight *= 8
            layer.self_attn.k_proj.weight *= 8
    model.set_attn_implementation(attention)
    return model


@pytest.fixture(scope="module")
def model():
    return make()


def ids(batch=1, length=40, seed=0):
    return torch.randint(2, 97, (batch, length), generator=torch.Generator().manual_seed(seed))


def generate(model, cache, tokens, **options):
    options = {"max_new_tokens": 12, "do_sample": False} | options
    return model.generate(tokens, **{NAME: cache}, **options)


@pytest.mark.parametrize("kv_heads", [1, 2, 4])
@pytest.mark.parametrize("batch", [1, 3])
def test_without_merging_it_is_the_plain_cache(kv_heads, batch):
    model = make(kv_heads)
    tokens = ids(batch)
    for options in ({"ratio": 1.0}, {"budget": 999}, {"threshold": 1.0}):
        found = generate(model, KVMergerCache(**options), tokens)
        assert torch.equal(found, generate(model, DynamicCache(), tokens))


@pytest.mark.parametrize("beams", [1, 3])
def test_generation_with_merging_runs_and_shrinks(model, beams):
    cache = KVMergerCache(ratio=0.5, slack=4)
    found = generate(model, cache, ids(2), num_beams=beams)
    assert found.shape == (2, 52)
    for row in cache.compression_report():
        assert row["seen"] == 51 and row["slots"] <= int(0.5 * 51) + 4
        assert row["bytes"] <= 0.62 * row["bytes_unmerged"]
    for layer in cache.layers:
        assert (layer.counts.sum(-1) == 51).all()


def logits(model, cache, *chunks):
    with torch.no_grad():
        return [model(chunk, **{NAME: cache}).logits for chunk in chunks]


def test_positions_are_those_of_the_tokens_seen(model):
    """The rotation of a new key tells its position: direct calls without cache_position."""
    tokens, new = ids(1, 40), ids(1, 3, seed=1)
    plain, merged = DynamicCache(), KVMergerCache(ratio=0.5)
    logits(model, plain, tokens, new)
    logits(model, merged, tokens, new)
    assert merged.get_seq_length() == 43
    # the first layer's keys depend on token and position alone
    assert torch.allclose(merged.layers[0].keys[:, :, -3:], plain.layers[0].keys[:, :, -3:])


def test_chunks_see_no_future(model):
    """The same tokens one by one and together, over a merged cache."""
    tokens, new = ids(1, 40), ids(1, 5, seed=1)
    options = {"ratio": 0.5, "decoding": False}
    _, together = logits(model, KVMergerCache(**options), tokens, new)
    one_by_one = logits(model, KVMergerCache(**options), tokens, *new.split(1, 1))[1:]
    torch.testing.assert_close(torch.cat(one_by_one, 1), together, rtol=1e-4, atol=1e-4)


def test_repeated_prompts_cost_nothing():
    """A layer without positions: equal tokens have equal keys and values, and merge exactly."""
    model = make(layers=1)
    for layer in model.model.layers:  # no rotation: equal tokens have equal keys
        layer.self_attn.q_proj.weight.data = layer.self_attn.q_proj.weight.data.clone()
    model.model.rotary_emb.inv_freq.zero_()
    tokens = ids(1, 12).repeat_interleave(3, 1)
    new = ids(1, 4, seed=1)
    options = {"budget": 12, "recent": 0.0, "heavy": 0.0, "decoding": False}
    *_, wanted = logits(model, DynamicCache(), tokens, new)
    *_, biased = logits(model, KVMergerCache(**options), tokens, new)
    torch.testing.assert_close(biased, wanted, rtol=1e-4, atol=1e-4)


def test_left_padding_changes_nothing(model):
    short = ids(1, 30)
    padded = torch.cat([torch.zeros(1, 9, dtype=torch.long), short], 1)
    mask = (padded != 0).long()
    options = {"do_sample": False, "max_new_tokens": 8}
    alone = generate(model, KVMergerCache(budget=14, recent=0.1, heavy=0.1), short, **options)
    cache = KVMergerCache(budget=15, recent=0.1, heavy=0.1)  # one slot holds the padding
    both = generate(model, cache, padded, attention_mask=mask, **options)
    assert (cache.layers[0].counts[..., 0] == 0).all() and (cache.layers[0].counts == 0).sum() == 2
    assert both.shape == (1, 47) and alone.shape == (1, 38)


def test_padding_without_merging_is_the_plain_cache(model):
    tokens = ids(2, 20)
    tokens[0, :6] = 0
    mask = (tokens != 0).long()
    wanted = generate(model, DynamicCache(), tokens, attention_mask=mask)
    found = generate(model, KVMergerCache(ratio=1.0), tokens, attention_mask=mask)
    assert torch.equal(found, wanted)


def test_the_other_attention_is_refused():
    model = make(attention="sdpa")
    with pytest.raises(RuntimeError, match="set_attn_implementation"):
        generate(model, KVMergerCache(ratio=0.5), ids())


def test_other_caches_still_work_with_the_attention(model):
    plain = make(attention="sdpa")
    assert torch.equal(generate(model, None, ids()), generate(plain, None, ids()))


def test_memory_is_really_given_back(model):
    cache = KVMergerCache(ratio=0.25, recent=0.05, heavy=0.05, decoding=False)
    logits(model, cache, ids(1, 200))
    for layer in cache.layers:
        assert layer.keys.shape[2] == 50
        assert layer.keys.untyped_storage().nbytes() == layer.keys.numel() * 4


def test_crop_and_reset(model):
    cache = KVMergerCache(ratio=0.5, decoding=False)
    tokens, new = ids(1, 40), ids(1, 4, seed=1)
    *_, wanted = logits(model, cache, tokens, new)
    cache.crop(-4)
    assert cache.get_seq_length() == 40
    (again,) = logits(model, cache, new)
    torch.testing.assert_close(again, wanted)
    with pytest.raises(ValueError, match="were merged"):
        cache.crop(-30)
    cache.reset()
    assert cache.get_seq_length() == 0
    *_, fresh = logits(model, cache, tokens, new)
    torch.testing.assert_close(fresh, wanted)


def test_layers_can_be_skipped_and_presets_exist(model):
    cache = KVMergerCache.preset("default-35", skip_layers=(0, 2), decoding=False)
    logits(model, cache, ids(1, 100))
    assert [layer.slots for layer in cache.layers] == [100, 35, 100]
    paper = KVMergerCache.preset("paper-50")
    assert paper.config.mass == "value" and paper.config.threshold == 0.75
    logits(model, paper, ids(1, 100), ids(1, 2))
    with pytest.raises(ValueError, match="default-50"):
        KVMergerCache.preset("half")


@pytest.mark.parametrize("mass", ["value", "none"])
def test_other_masses_and_bfloat16(mass):
    model = make().to(torch.bfloat16)
    cache = KVMergerCache(ratio=0.5, mass=mass, score_window=8)
    assert generate(model, cache, ids(2)).shape == (2, 52)
    assert cache.layers[0].keys.dtype == torch.bfloat16


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({}, "got none, wanted one of the three"),
        ({"ratio": 0.5, "budget": 3}, "got ratio, budget"),
        ({"ratio": 0.0}, "ratio: got 0.0"),
        ({"budget": 0}, "budget: got 0"),
        ({"ratio": 0.5, "recent": 1.0}, "recent: got 1.0"),
        ({"ratio": 0.5, "slack": -1}, "slack: got -1"),
    ],
)
def test_bad_options(options, told):
    with pytest.raises(ValueError, match=told):
        KVMergerConfig(**options)


def test_nothing_deprecated_is_called(model):
    with warnings.catch_warnings():
        warnings.simplefilter("error", FutureWarning)
        generate(model, KVMergerCache(ratio=0.5), ids())


def test_unknown_options_are_named():
    with pytest.raises(TypeError, match="window: no such option"):
        KVMergerCache(ratio=0.5, window=3)
