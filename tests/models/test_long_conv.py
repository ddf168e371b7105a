"""LongConvModel and LongConvLM: the published model's values, padding, streaming, presets."""

from __future__ import annotations

import copy
import warnings

import pytest
import torch

from kernelmill.models import LongConvLM, LongConvModel
from kernelmill.models.long_conv_presets import LM_PRESETS, PRESETS
from kernelmill.training import param_groups
from tests import goldens

SYSTEM = "long-conv"


def small(**options):
    torch.manual_seed(0)
    options = {"d_input": 3, "d_output": 4, "d_model": 6, "n_layers": 2, "l_max": 32} | options
    model = LongConvModel(**options)
    with torch.no_grad():
        for layer in model.conv_layers:
            layer.kernel.kernel.normal_(0, 0.2)
    return model.eval()


@pytest.mark.filterwarnings("ignore:lam")
def test_golden_model():
    golden = goldens.load(SYSTEM, "s02_standalone_model_postnorm")
    state = goldens.state(golden)
    model = LongConvModel.from_standalone(state, lam=0.001)
    x = golden["input/x"].requires_grad_()
    y = model(x)
    torch.testing.assert_close(y, golden["output/y"], rtol=0, atol=2e-5)
    (y * golden["input/cotangent"]).sum().backward()
    found = {"x": x.grad, **{k: p.grad for k, p in model.named_parameters()}}
    for key in (key for key in golden if key.startswith("grad/")):
        wanted = golden[key]
        assert (found[key[5:]] - wanted).abs().max() <= 5e-5 * wanted.abs().max(), key
    with pytest.raises(ValueError, match=r"state: no conv_layers.0.kernel"):
        LongConvModel.from_standalone(model.state_dict(), lam=0.001)


@pytest.mark.parametrize("pool", ["mean", "sum", "max", "last", "none"])
@pytest.mark.parametrize("norm", ["layer", "batch"])
@pytest.mark.parametrize("prenorm", [False, True])
@pytest.mark.parametrize("training", [False, True])
def test_padding_does_not_matter(pool, norm, prenorm, training):
    model = small(pool=pool, norm=norm, prenorm=prenorm, final_norm=prenorm, dropout=0.0,
                  bidirectional=True).train(training)  # fmt: skip
    x, lengths = torch.randn(3, 20, 3), torch.tensor([7, 20, 1])
    keep = torch.arange(20)[:, None] < lengths.view(3, 1, 1)
    y = model(x, lengths)
    other = model(torch.where(keep, x, torch.randn(3, 20, 3)), lengths)
    if pool == "none":
        y, other = (z.masked_fill(~keep, 0) for z in (y, other))
    torch.testing.assert_close(other, y, rtol=0, atol=1e-5)
    if not training:
        alone = model(x[:1, :7])
        found = y[:1, :7] if pool == "none" else y[:1]
        torch.testing.assert_close(alone, found, rtol=0, atol=1e-5)


def test_batch_norm_of_padded_samples_has_the_statistics_of_what_counts():
    model = small(norm="batch", prenorm=True, n_layers=1, dropout=0.0).train()
    x, lengths = torch.randn(2, 9, 3), torch.tensor([4, 9])
    model(x, lengths)
    rows = torch.cat([model.encoder(x[0, :4]), model.encoder(x[1])])
    torch.testing.assert_close(model.norms[0].running_mean, 0.1 * rows.mean(0))


@pytest.mark.parametrize("prenorm", [False, True])
def test_features_of_a_causal_model_are_causal(prenorm):
    model = small(prenorm=prenorm, pool="none")
    x = torch.randn(1, 25, 3)
    changed = x.clone()
    changed[:, 20:] += 1
    y, other = model(x), model(changed)
    torch.testing.assert_close(other[:, :20], y[:, :20], rtol=0, atol=1e-6)
    assert (other[:, 20:] - y[:, 20:]).abs().max() > 1e-2


def test_decoders():
    model = small(d_output=0)
    x = torch.randn(2, 10, 3)
    assert model(x).shape == (2, 6)
    assert torch.equal(model(x), model.pooled(x))
    model.reset_classifier(7)
    assert model(x).shape == (2, 7)
    tokens = small(d_input=None, vocab_size=11)
    assert tokens(torch.randint(11, (2, 10))).shape == (2, 4)


def test_pairs_are_decoded_together():
    model = small(d_input=None, vocab_size=11, pairs=True, dropout=0.0)
    x = torch.randint(11, (3, 2, 10))
    lengths = torch.tensor([[3, 10], [10, 10], [5, 1]])
    y = model(x, lengths)
    assert y.shape == (3, 4)
    first, second = (model.pooled(x[:, i], lengths[:, i]) for i in (0, 1))
    wanted = model.decoder(torch.cat([first, second, first - second, first * second], 1))
    torch.testing.assert_close(y, wanted)


@pytest.mark.parametrize(("tie", "residual", "inner"), [
    ("residual", True, False), ("all", True, True), ("none", False, False),
])  # fmt: skip
def test_where_dropout_is_tied(tie, residual, inner):
    model = small(tie_dropout=tie, dropout=0.5).train()
    x = torch.ones(2, 64, 30)
    for module, tied in ((model.dropout, residual), (model.conv_layers[0].dropout, inner)):
        kept = module(x) != 0
        assert torch.equal(kept.all(2), kept.any(2)) == tied


@pytest.mark.filterwarnings("ignore:lam")
@pytest.mark.parametrize("name", PRESETS)
def test_presets(name):
    preset = PRESETS[name]
    assert preset.training["lr"] > 0 and preset.model["channels"] == 2
    size = {"d_model": 8, "n_layers": 1, "l_max": 64}  # the table's sizes take seconds to draw
    if preset.model["d_input"] is None:
        with pytest.raises(ValueError, match="wanted one of the two"):
            LongConvModel.preset(name, **size)
        size["vocab_size"] = 16
        x = torch.randint(16, (2, 2, 40) if preset.model["pairs"] else (2, 40))
    else:
        x = torch.randn(2, 40, preset.model["d_input"])
    model = LongConvModel.preset(name, **size)
    assert model(x).shape == (2, preset.model["d_output"])
    layer = model.conv_layers[0]
    assert layer.kernel.squash_grad == "hard" and layer.kernel.lam == preset.model["lam"]
    groups = param_groups(model, preset.training["lr"], preset.training["weight_decay"])
    assert {g["lr"] for g in groups} == {preset.training["lr"], preset.model["learning_rate"]}


@pytest.mark.filterwarnings("ignore:lam")
@pytest.mark.parametrize(("name", "count"), [("listops", 2), ("image", 2)])
def test_sizes_of_presets(name, count):
    """Taps, skip, linear and norm of a layer; encoder and decoder."""
    settings = PRESETS[name].model
    width, taps, layers = settings["d_model"], settings["l_max"], settings["n_layers"]
    layer = 2 * width * taps + 2 * width + (2 * width + 1) * 2 * width + 2 * width
    encoder = 16 * width if settings["d_input"] is None else (settings["d_input"] + 1) * width
    wanted = layers * layer + encoder + (width + 1) * settings["d_output"]
    options = {"vocab_size": 16} if settings["d_input"] is None else {}
    model = LongConvModel.preset(name, device="meta", **options)
    assert sum(p.numel() for p in model.parameters()) == wanted


def test_state_and_copies():
    model = small()
    x = torch.randn(2, 12, 3)
    other = LongConvModel(3, 4, 6, 2, l_max=32).eval()
    other.load_state_dict(model.state_dict())
    assert torch.equal(other(x), model(x)) and torch.equal(copy.deepcopy(model)(x), model(x))
    compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(x), model(x))
    double = copy.deepcopy(model).double()
    torch.testing.assert_close(double(x.double()).float(), model(x), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("message", "call"),
    [
        ("wanted one of the two", lambda: LongConvModel()),
        ("wanted one of the two", lambda: LongConvModel(1, vocab_size=2)),
        ("norm: got 'x'", lambda: LongConvModel(1, norm="x")),
        ("pool: got 'x'", lambda: LongConvModel(1, pool="x")),
        ("tie_dropout: got True", lambda: LongConvModel(1, tie_dropout=True)),
        ("n_layers, d_output: got 0", lambda: LongConvModel(1, n_layers=0)),
        ("pool: got 'none' with pairs", lambda: LongConvModel(1, pool="none", pairs=True)),
        ("transposed: got False", lambda: LongConvModel(1, transposed=False)),
        ("name: got 'lra'", lambda: LongConvModel.preset("lra")),
        ("wanted (B, L, 3)", lambda: small()(torch.ones(2, 9, 4))),
        ("wanted int (B, L)", lambda: small(d_input=None, vocab_size=9)(torch.ones(2, 9))),
        ("lengths: got 0", lambda: small()(torch.ones(2, 9, 3), torch.tensor([0, 4]))),
        ("wanted (B, 2, ...)", lambda: small(pairs=True)(torch.ones(2, 9, 3))),
    ],
)
def test_bad_arguments(message, call):
    with pytest.raises(ValueError) as caught:
        call()
    assert message in str(caught.value)


def language_model(**options):
    torch.manual_seed(0)
    options = {"vocab_size": 37, "d_model": 16, "n_layers": 3, "l_max": 24} | options
    model = LongConvLM(**options)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("kernel.kernel"):
                parameter.normal_(0, 0.2)
            elif name == "embedding.weight":
                parameter.normal_()
    return model.eval()


MODELS = {
    "h3": {},
    "long_conv": {"mixer": "long_conv", "channels": 2, "use_ma_smoothing": True},
    "hybrid": {"attention_layers": (1,)},
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kind", MODELS)
def test_streaming_equals_the_convolution(kind, dtype):
    model = language_model(**MODELS[kind]).to(dtype)
    tokens = torch.randint(37, (2, 60))  # l_max is 24
    wanted = model(tokens)
    tolerance = 5e-5 if dtype == torch.float32 else 1e-11
    for prompt in (0, 1, 24, 40):
        if prompt:
            logits, state = model.prefill(tokens[:, :prompt])
            torch.testing.assert_close(logits, wanted[:, :prompt], rtol=0, atol=tolerance)
        else:
            state = None
        for t in range(prompt, 60):
            logits, state = model.step(state, tokens[:, t])
            torch.testing.assert_close(logits, wanted[:, t], rtol=0, atol=tolerance)


@pytest.mark.parametrize("kind", MODELS)
def test_logits_do_not_depend_on_later_tokens(kind):
    model = language_model(**MODELS[kind])
    tokens = torch.randint(37, (2, 20))
    changed = tokens.clone()
    changed[:, 15:] = (changed[:, 15:] + 1) % 37
    before, after = model(tokens), model(changed)
    torch.testing.assert_close(after[:, :15], before[:, :15], rtol=0, atol=1e-5)
    assert (after[:, 15] - before[:, 15]).abs().max() > 1e-3


def test_generation_is_that_of_the_whole_model():
    model = language_model()
    tokens = torch.randint(37, (2, 5))
    found = model.generate(tokens, 30)
    for _ in range(30):
        tokens = torch.cat([tokens, model(tokens)[:, -1:].argmax(-1)], 1)
    assert torch.equal(found, tokens)
    assert torch.equal(model.generate(tokens, 0), tokens)


def test_sampling():
    model = language_model()
    tokens = torch.randint(37, (4, 5))

    def draw(seed, **options):
        generator = torch.Generator().manual_seed(seed)
        return model.generate(tokens, 8, generator=generator, **options)

    assert torch.equal(draw(1, temperature=1.0), draw(1, temperature=1.0))
    assert not torch.equal(draw(1, temperature=5.0), draw(2, temperature=5.0))
    assert torch.equal(draw(1, temperature=5.0, top_k=1), draw(2))


def test_the_head_is_the_embedding():
    model = language_model()
    assert model.head.weight is model.embedding.weight
    groups = param_groups(model, lr=0.1)
    assert sum(len(g["params"]) for g in groups) == len(list(model.parameters()))
    apart = language_model(tie_embeddings=False)
    assert apart.head.weight is not apart.embedding.weight
    assert copy.deepcopy(model)(torch.ones(1, 3, dtype=torch.int64)).shape == (1, 3, 37)


def test_it_learns_to_copy():
    """A token comes again 6 places later: an H3 layer finds it."""
    torch.manual_seed(0)
    model = LongConvLM(vocab_size=12, d_model=32, n_layers=1, l_max=32, expand=1)
    optimizer = torch.optim.Adam(param_groups(model, lr=1e-2))
    losses = []
    for _ in range(120):
        period = torch.randint(12, (32, 6))
        tokens = period.repeat(1, 5)
        logits = model(tokens[:, :-1])[:, 6:]
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), tokens[:, 7:].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[0] > 2.2 and losses[-1] < 0.5


def test_lm_preset():
    settings = LM_PRESETS["h3"].model
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = LongConvLM.preset("h3", l_max=16, d_model=24, n_layers=9)
    assert [type(b.mixer).__name__ for b in model.blocks].count("CausalAttention") == 2
    assert settings["n_layers"] == 12 and settings["d_model"] == 768
    assert model(torch.randint(256, (1, 10))).shape == (1, 10, 256)


@pytest.mark.parametrize(
    ("message", "call"),
    [
        ("mixer: got 'x'", lambda: LongConvLM(mixer="x")),
        ("attention_layers: got (9,)", lambda: LongConvLM(attention_layers=(9,))),
        ("n_heads: got 3", lambda: LongConvLM(d_model=16, attention_layers=(0,), n_heads=3)),
        ("must not look ahead", lambda: LongConvLM(mixer="long_conv", bidirectional=True)),
        ("must not look ahead", lambda: LongConvLM(mode="official")),
        ("n_layers: got 0", lambda: LongConvLM(n_layers=0)),
        ("l_max: got None", lambda: LongConvLM(l_max=None)),
        ("dropout: got 1.5", lambda: LongConvLM(dropout=1.5)),
        ("wanted int (B, L)", lambda: language_model()(torch.ones(2, 3))),
        ("wanted int (B,)", lambda: language_model().step(None, torch.ones(1, 1))),
        ("wanted (B, L), L >= 1",
         lambda: language_model().generate(torch.ones(1, 0, dtype=torch.int64), 1)),
        ("temperature: got -1", lambda: language_model().generate(torch.ones(1, 1), 1, -1.0)),
        ("name: got 'gpt'", lambda: LongConvLM.preset("gpt")),
    ],
)  # fmt: skip
def test_bad_language_models(message, call):
    with pytest.raises(ValueError) as caught:
        call()
    assert message in str(caught.value)
