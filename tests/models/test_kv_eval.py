"""The presses side by side: on tensors, on a model, and from the command line."""

from __future__ import annotations

import json

import pytest
import torch

transformers = pytest.importorskip("transformers")

from transformers import DynamicCache, LlamaForCausalLM  # noqa: E402

from kernelmill.models.kv_compressors import COMPRESSORS, attend, evict, untouched  # noqa: E402
from kernelmill.models.kv_eval import evaluate_cache  # noqa: E402
from kernelmill.models.kv_merger import cache_argument  # noqa: E402
from tests.models.test_kv_merger import ids, make  # noqa: E402

NAME = cache_argument(LlamaForCausalLM)
every = pytest.mark.parametrize("press", COMPRESSORS)


@pytest.fixture(scope="module")
def model():
    return make(attention="sdpa")


def tensors(tokens=60):
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(2, h, tokens, 8, generator=generator) for h in (4, 2, 2)]


@every
def test_every_compressor_keeps_its_share(press):
    for share, slots in ((0.5, 30), (0.35, 21), (1.0, 60)):
        found = COMPRESSORS[press](*tensors(), share)
        assert found.keys.shape == (2, 2, slots, 8) and (found.lengths == slots).all()
        assert (found.set_ids.amax(-1) == slots - 1).all()
    assert torch.equal(found.keys, tensors()[1]) and torch.equal(found.values, tensors()[2])


def test_who_is_kept():
    queries, keys, values = tensors(100)
    place = torch.arange(100)
    found = COMPRESSORS["streaming"](queries, keys, values, 0.5).pivots[0, 0]
    assert torch.equal(found.long(), torch.cat([place[:4], place[-46:]]))
    queries[..., 0], keys[..., 0], keys[:, :, 10] = 20.0, 0.0, 0.0
    keys[:, :, 10, 0] = 20.0  # all look at token 10
    for press, recent in (("h2o", 25), ("snapkv", 32), ("kvmerger", 17), ("random", 17)):
        found = COMPRESSORS[press](queries, keys, values, 0.5)
        assert torch.equal(found.pivots[..., -recent:].long(), place[-recent:].expand(2, 2, -1))
        if press != "random":
            slot = found.set_ids[..., 10].long()
            assert (slot >= 0).all()
            assert (found.counts.gather(-1, slot.unsqueeze(-1)) == 1).all()
    scores = torch.tensor([0.0, 3.0, 1.0, 2.0]).expand(1, 1, 4)
    x = torch.arange(4.0).view(1, 1, 4, 1)
    found = evict(x, x, scores, 2)
    assert found.pivots.tolist() == [[[1, 3]]] and found.set_ids.tolist() == [[[-1, 0, -1, 1]]]
    with pytest.raises(ValueError, match="budget: got 5, wanted 1 to 4"):
        evict(x, x, scores, 5)


def test_attention_over_a_whole_prefix_is_causal_attention():
    queries, keys, values = tensors()
    wide = [x.repeat_interleave(2, 1) for x in (keys, values)]
    wanted = torch.nn.functional.scaled_dot_product_attention(queries, *wide, is_causal=True)
    new = [x[:, :, 40:] for x in (queries, keys, values)]
    found = attend(*new, untouched(keys[:, :, :40], values[:, :, :40]))
    torch.testing.assert_close(found, wanted[:, :, 40:])


@every
def test_a_whole_cache_changes_nothing(model, press):
    report = evaluate_cache(model, ids(1, 200)[0], press, 1.0, prefix=60, new=30, windows=2)
    assert report.attention_error < 1e-6 and report.bytes == report.full_bytes
    assert report.perplexity == pytest.approx(report.full_perplexity, rel=1e-5)
    assert model.config._attn_implementation == "sdpa"


def test_the_report(model):
    tokens = ids(1, 270)[0]
    report = evaluate_cache(model, tokens, "kvmerger", 0.5, prefix=60, new=30, windows=9)
    assert (report.windows, report.scored) == (3, 3 * 29)
    assert report.bytes == 2 * 3 * 2 * 30 * 16 * 4 and report.full_bytes == 2 * report.bytes
    assert 0.01 < report.attention_error < 2
    losses = []
    for start in (0, 90, 180):  # the plain model, by hand
        row = tokens[None, start : start + 90]
        with torch.no_grad():
            logits = model(row, **{NAME: DynamicCache()}).logits
        losses.append(torch.nn.functional.cross_entropy(logits[0, 60:-1], row[0, 61:]))
    wanted = torch.stack(losses).mean().exp().item()
    assert report.full_perplexity == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"press": "oracle"}, "press: got 'oracle', wanted one of kvmerger"),
        ({"share": 0.0}, "share: got 0.0"),
        ({"new": 1}, "prefix, new, windows"),
        ({"prefix": 500}, "the model reads 512"),
        ({"prefix": 300}, "text: got 200 tokens, a window takes 330"),
    ],
)
def test_bad_arguments(model, changes, told):
    options = {"press": "h2o", "share": 0.5, "prefix": 60, "new": 30} | changes
    with pytest.raises(ValueError, match=told):
        evaluate_cache(model, ids(1, 200)[0], **options)


def test_the_command(model, tmp_path, capsys):
    tokenizers = pytest.importorskip("tokenizers")
    pytest.importorskip("typer")
    from kernelmill.cli import main

    letters = {chr(i): i - 30 for i in range(32, 127)} | {"\n": 0, "<s>": 1}
    words = tokenizers.Tokenizer(tokenizers.models.WordLevel(letters, unk_token="<s>"))
    words.pre_tokenizer = tokenizers.pre_tokenizers.Split("", "isolated")
    transformers.PreTrainedTokenizerFast(tokenizer_object=words).save_pretrained(tmp_path)
    model.save_pretrained(tmp_path)
    text = tmp_path / "text.txt"
    text.write_text("The quick brown fox jumps over the lazy dog. " * 6)
    given = ["kv-eval", "--model", str(tmp_path), "--text", str(text), "--prefix", "60"]
    given += ["--new", "20", "--press", "snapkv", "--ratio", "0.35"]
    capsys.readouterr()
    assert main(given) == 0
    shown = capsys.readouterr().out
    assert "whole cache" in shown and "snapkv, 0.35" in shown and "3 windows" in shown
    assert main([*given, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["share"] == 0.35
    assert main([*given[:2], str(tmp_path / "none"), *given[3:]]) == 2
    assert main([*given, "--press", "oracle"]) == 2
