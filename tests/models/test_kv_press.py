"""KVMerger as a press, on its own and in kvpress's pipeline."""

from __future__ import annotations

import pytest
import torch

transformers = pytest.importorskip("transformers")

from transformers import DynamicCache, LlamaForCausalLM  # noqa: E402

from kernelmill.models.kv_merger import KVMergerCache, cache_argument  # noqa: E402
from kernelmill.models.kv_press import KVMergerPress, rotated_queries  # noqa: E402
from kernelmill.ops.kv_merge import attention_column_sums, kv_merge  # noqa: E402
from tests.models.test_kv_merger import generate, ids, make  # noqa: E402

NAME = cache_argument(LlamaForCausalLM)


@pytest.fixture(scope="module")
def sdpa():
    return make(attention="sdpa")


@pytest.fixture(scope="module")
def ours():
    return make()


def prefill(model, press=None, tokens=None, cache=None):
    cache = DynamicCache() if cache is None else cache
    tokens = ids() if tokens is None else tokens
    with torch.no_grad():
        if press is None:
            model(tokens, **{NAME: cache})
        else:
            with press(model):
                model(tokens, **{NAME: cache})
    return cache


def answer(model, cache, question, at):
    place = torch.arange(at, at + question.shape[1]).unsqueeze(0)
    with torch.no_grad():
        return model(question, position_ids=place, **{NAME: cache}).logits


@pytest.mark.parametrize("mass", ["value", "none"])
@pytest.mark.parametrize("ratio", [0.5, 0.65])
def test_the_cache_is_merged_by_its_attention(sdpa, ratio, mass):
    """Scores from the attention probabilities of the eager implementation, by hand."""
    eager = make(attention="eager")
    plain = DynamicCache()
    with torch.no_grad():
        probabilities = eager(ids(2), output_attentions=True, **{NAME: plain}).attentions
    recent, heavy = (0.17, 0.12) if ratio == 0.5 else (0.08, 0.02)
    for model in (sdpa, eager):
        found = prefill(model, KVMergerPress(ratio, mass=mass), ids(2))
        for layer, old, p in zip(found.layers, plain.layers, probabilities, strict=True):
            scores = p.sum(2).view(2, 2, 2, 40).mean(2)
            wanted = kv_merge(
                old.keys, old.values, scores, budget=int((1 - ratio) * 40),
                recent=int(recent * 40), heavy=int(heavy * 40), mass=mass,
            )  # fmt: skip
            torch.testing.assert_close(layer.keys, wanted.keys, rtol=1e-4, atol=1e-4)
            torch.testing.assert_close(layer.values, wanted.values, rtol=1e-4, atol=1e-4)
            assert layer.keys.untyped_storage().nbytes() == layer.keys.numel() * 4


@pytest.mark.parametrize("window", [None, 8])
@pytest.mark.parametrize("kind", ["Qwen3", "Phi3"])
def test_other_projections(kind, window):
    """Normed and fused queries: the same scores as from the eager attention's probabilities."""
    torch.manual_seed(0)
    config = getattr(transformers, f"{kind}Config")(
        vocab_size=97, hidden_size=64, intermediate_size=96, num_hidden_layers=2, head_dim=16,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=512,
        pad_token_id=0, sliding_window=None,
    )  # fmt: skip
    model = getattr(transformers, f"{kind}ForCausalLM")(config).eval()
    found = []
    for attention in ("sdpa", "eager"):
        model.set_attn_implementation(attention)
        found.append(prefill(model, KVMergerPress(0.5, mass="none", score_window=window)))
    for a, b in zip(found[0].layers, found[1].layers, strict=True):
        torch.testing.assert_close(a.keys, b.keys, rtol=1e-4, atol=1e-4)


def test_a_press_without_ratio_changes_nothing(sdpa, ours):
    for model, mass in ((sdpa, "value"), (ours, "bias")):
        with KVMergerPress(0.0, mass=mass)(model):
            found = generate(model, DynamicCache(), ids())
        assert torch.equal(found, generate(model, DynamicCache(), ids()))


def test_with_counts_it_is_the_merging_cache(ours):
    question = ids(1, 5, seed=1)
    pressed = prefill(ours, KVMergerPress(0.5))
    merged = prefill(ours, cache=KVMergerCache(ratio=0.5, decoding=False))
    assert pressed.get_seq_length() == 20 and merged.get_seq_length() == 40
    torch.testing.assert_close(
        answer(ours, pressed, question, 40), answer(ours, merged, question, 40)
    )


def test_an_answer_can_be_cut_off_again(ours):
    """As kvpress's pipeline does between questions."""
    first, second = ids(1, 5, seed=1), ids(1, 4, seed=2)
    cache = prefill(ours, KVMergerPress(0.5))
    answer(ours, cache, first, 40)
    for layer in cache.layers:
        layer.keys, layer.values = layer.keys[:, :, :20], layer.values[:, :, :20]
    wanted = answer(ours, prefill(ours, KVMergerPress(0.5)), second, 40)
    torch.testing.assert_close(answer(ours, cache, second, 40), wanted)


@pytest.mark.parametrize("mass", ["bias", "value"])
def test_generation_in_the_context_has_true_positions(sdpa, ours, mass):
    model = ours if mass == "bias" else sdpa
    cache, plain = DynamicCache(), DynamicCache()
    with KVMergerPress(0.5, mass=mass)(model):
        found = generate(model, cache, ids(), max_new_tokens=4)
    assert cache.layers[0].keys.shape[2] == 20 + 3
    with torch.no_grad():
        model(found[:, :-1], **{NAME: plain})
    # keys of the first layer depend on token and position alone
    torch.testing.assert_close(cache.layers[0].keys[:, :, -3:], plain.layers[0].keys[:, :, -3:])


def test_queries_and_windows(sdpa):
    press = KVMergerPress(0.5, mass="none", score_window=8)
    layer = sdpa.model.layers[0].self_attn
    hidden = torch.randn(1, 40, 64)
    place = sdpa.model.rotary_emb(hidden, torch.arange(40).unsqueeze(0))
    queries = rotated_queries(layer, hidden, place)
    assert queries.shape == (1, 4, 40, 16)
    keys, values = torch.randn(1, 2, 40, 16), torch.randn(1, 2, 40, 16)
    given = {"position_embeddings": place}
    found = press.compress(layer, hidden, keys, values, None, given)
    scores = attention_column_sums(queries, keys, window=8)
    wanted = kv_merge(keys, values, scores, budget=20, recent=6, heavy=4, mass="none")
    torch.testing.assert_close(found, tuple(wanted[:2]))


def test_what_is_refused(sdpa, ours):
    with pytest.raises(ValueError, match="'sdpa', which ignores counts"):
        with KVMergerPress()(sdpa):
            pass
    with pytest.raises(ValueError, match="the counts would be lost|needs the counts"):
        KVMergerPress().compress(None, None, None, None, None, {})
    with pytest.raises(ValueError, match="compression_ratio: got 1.0"):
        KVMergerPress(1.0)
    with pytest.raises(ValueError, match="mass: got 'log'"):
        KVMergerPress(mass="log")
    with pytest.raises(ValueError, match="score_window: got 0"):
        KVMergerPress(score_window=0)
    with pytest.raises(ValueError, match="recent: got 2"):
        KVMergerPress(recent=2)
    with pytest.raises(ValueError, match="wanted a DynamicCache"):
        prefill(ours, KVMergerPress(), cache=KVMergerCache(ratio=0.5))
    with pytest.raises(ValueError, match="without a cache"), KVMergerPress()(ours):
        ours(ids(), use_cache=False)
    press = KVMergerPress(0.5, mass="value")
    with pytest.raises(ValueError, match="was compressed before"), press(sdpa):
        prefill(sdpa, KVMergerPress(0.25, mass="value"))
    with pytest.raises(ValueError, match="at work already"), press(sdpa), press(sdpa):
        pass
    mask = torch.ones(1, 40, dtype=torch.long)
    mask[:, :3] = 0
    with pytest.raises(ValueError, match="padding is for KVMergerCache"), press(sdpa):
        sdpa(ids(), attention_mask=mask)
    assert prefill(sdpa).get_seq_length() == 40  # no hook is left


@pytest.mark.parametrize("mass", ["value", "bias"])
def test_in_the_pipeline_of_kvpress(mass):
    kvpress = pytest.importorskip("kvpress")
    tokenizers = pytest.importorskip("tokenizers")

    letters = {chr(i): i - 30 for i in range(32, 127)} | {"\n": 0, "<s>": 1}
    words = tokenizers.Tokenizer(tokenizers.models.WordLevel(letters, unk_token="<s>"))
    words.pre_tokenizer = tokenizers.pre_tokenizers.Split("", "isolated")
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=words, bos_token="<s>")
    model = make(attention="kernelmill_kvmerge" if mass == "bias" else "sdpa")
    pipe = kvpress.KVPressTextGenerationPipeline(model=model, tokenizer=tokenizer)
    context = "the quick brown fox jumps over the lazy dog; " * 3
    questions = ["who jumps?", "over what?"]

    def ask(press, questions, **options):
        return pipe(context, questions=questions, press=press, max_new_tokens=6, **options)

    assert ask(KVMergerPress(0.0, mass=mass), questions) == ask(None, questions)
    cache = DynamicCache()
    both = ask(KVMergerPress(0.5, mass=mass), questions, cache=cache)["answers"]
    length = len(tokenizer.encode("<s>" + context, add_special_tokens=False))
    assert [layer.keys.shape[2] for layer in cache.layers] == [length // 2] * 3
    assert both == [ask(KVMergerPress(0.5, mass=mass), [q])["answers"][0] for q in questions]
