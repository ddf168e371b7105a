"""LongConv, its kernel, H3Conv, FFTConv: the published code's values, causality, steps, state."""

from __future__ import annotations

import copy
import io
import warnings

import pytest
import torch

from kernelmill.nn import FFTConv, H3Conv, LongConv, LongConvKernel
from kernelmill.nn.long_conv_kernel import double_exp_envelope
from kernelmill.training import param_groups
from tests import goldens

SYSTEM = "long-conv"
LAYERS = [n for n in goldens.names(SYSTEM) if n[0] == "c" or n.startswith(("b07", "s01"))]


def golden_layer(name, mode="linear"):
    config = goldens.config(SYSTEM, name)
    if name.startswith("s01"):
        config = {"H": config["H"], "l_max": config["L"], "channels": config["channels"],
                  "lam": config["kernel_lam"]}  # fmt: skip
        mode = "circular2L"
    config = {k: v for k, v in config.items() if k not in ("seed", "max_m")}
    layer = LongConv(config.pop("H"), mode=mode, squash_grad="hard", **config)
    golden = goldens.load(SYSTEM, name)
    layer.load_state_dict(goldens.state(golden))
    return layer.eval(), golden


def close_gradients(module, u, golden):
    found = {"u": u.grad, **{k: p.grad for k, p in module.named_parameters()}}
    for key in (key for key in golden if key.startswith("grad/")):
        name = key[5:] if key[5:] in found else "kernel.kernel"  # the standalone layer's name
        wanted = golden[key]
        assert (found[name] - wanted).abs().max() <= 5e-5 * wanted.abs().max(), key


@pytest.mark.filterwarnings("ignore:lam")
@pytest.mark.parametrize("mode", ["linear", "official"])
@pytest.mark.parametrize("name", LAYERS)
def test_golden_layers(name, mode):
    layer, golden = golden_layer(name, mode)
    u = golden["input/u"].requires_grad_()
    y, nothing = layer(u, golden.get("input/lengths"))
    assert nothing is None
    torch.testing.assert_close(y, golden["output/y"], rtol=0, atol=2e-5)
    (y * golden["input/cotangent"]).sum().backward()
    close_gradients(layer, u, golden)
    if "output/effective_kernel" in golden:
        wanted = golden["output/effective_kernel"]
        torch.testing.assert_close(layer.kernel(), wanted, rtol=0, atol=1e-6)


@pytest.mark.filterwarnings("ignore:lam")
@pytest.mark.parametrize("name", [n for n in LAYERS if n[0] == "c"])
def test_golden_convolutions(name):
    """Without activation and linear, the layer is the convolution with its skip connection."""
    layer, golden = golden_layer(name)
    layer.activation, layer.output_linear = torch.nn.Identity(), torch.nn.Identity()
    y, _ = layer(golden["input/u"], golden.get("input/lengths"))
    y = y if layer.transposed else y.transpose(1, 2)
    wanted = golden["output/conv_plus_skip64"]
    torch.testing.assert_close(y.unflatten(1, wanted.shape[1:3]).double(), wanted,
                               rtol=0, atol=2e-5)  # fmt: skip


@pytest.mark.parametrize("mode", ["linear", "official"])
def test_golden_h3(mode):
    golden = goldens.load(SYSTEM, "h3_01")
    layer = H3Conv(8, 24, mode=mode, lam=0.003, squash_grad="hard")
    layer.load_state_dict(goldens.state(golden))
    u = golden["input/u"].requires_grad_()
    y = layer(u)
    torch.testing.assert_close(y, golden["output/y"], rtol=0, atol=2e-5)
    (y * golden["input/cotangent"]).sum().backward()
    close_gradients(layer, u, golden)


def test_golden_double_exponential_decay():
    golden = goldens.load(SYSTEM, "k05_double_exp_init")
    envelope = double_exp_envelope(8, 32)
    torch.testing.assert_close(envelope, golden["output/envelope64"], rtol=1e-12, atol=0)
    kernel = golden["input/standard_normal_times_0.02"] * envelope.float()
    torch.testing.assert_close(kernel, golden["output/kernel"])
    drawn = LongConvKernel(64, 512, channels=4, weight_init="double_exp", lam=0.0)()
    shape = double_exp_envelope(64, 512).float()
    normal = drawn[:, shape > 1e-3] / shape[shape > 1e-3]
    assert abs(normal.std() / 0.02 - 1) < 0.02


# Larger taps than at the start: outputs that should differ do so visibly.
def layer_of(l_max=32, d_model=4, seed=0, **options):
    torch.manual_seed(seed)
    layer = LongConv(d_model, l_max, **options).eval()
    with torch.no_grad():
        layer.kernel.kernel.normal_(0, 0.3)
    return layer


def h3_of(l_max=32, **options):
    torch.manual_seed(0)
    layer = H3Conv(4, l_max, **options).eval()
    with torch.no_grad():
        layer.kernel.kernel.normal_(0, 0.3)
        layer.k_kernel.kernel.normal_(0, 0.3)
    return layer


def apply(layer, u):
    """u: (B, L, H), whatever the layer's layout."""
    if isinstance(layer, H3Conv):
        return layer(u)
    return layer(u.transpose(1, 2))[0].transpose(1, 2) if layer.transposed else layer(u)[0]


CAUSAL = {
    "plain": lambda: layer_of(),
    "channels": lambda: layer_of(channels=3, transposed=False),
    "smooth": lambda: layer_of(use_ma_smoothing=True, channels=2),
    "smooth_freq": lambda: layer_of(use_ma_smoothing=True, smooth_freq=True),
    "blocks": lambda: layer_of(block_fft_conv=True, block_fft_conv_args={"learn": False}),
    "h3": lambda: h3_of(),
}


@pytest.mark.parametrize("length", [1, 7, 31, 32, 50])
@pytest.mark.parametrize("kind", CAUSAL)
def test_causality_and_prefixes(kind, length):
    layer = CAUSAL[kind]()
    u = torch.randn(2, length, 4)
    y = apply(layer, u)
    for at in {0, length // 2, length - 1}:
        changed = u.clone()
        changed[:, at:] += torch.randn(2, length - at, 4)
        found = apply(layer, changed)
        torch.testing.assert_close(found[:, :at], y[:, :at], rtol=0, atol=1e-6)
        assert (found[:, at] - y[:, at]).abs().max() > 1e-3
        if at:
            torch.testing.assert_close(apply(layer, u[:, :at]), y[:, :at], rtol=0, atol=2e-6)


@pytest.mark.parametrize("make", [lambda m: layer_of(64, mode=m), lambda m: h3_of(64, mode=m)])
def test_the_published_leak_is_there_in_official_mode_only(make):
    u = torch.randn(1, 40, 4)
    changed = u.clone()
    changed[:, -1] += 1
    leaks = {}
    for mode in ("official", "linear"):
        layer = make(mode)
        leaks[mode] = (apply(layer, changed) - apply(layer, u))[:, :-1].abs().max()
    assert leaks["official"] > 1e-2 and leaks["linear"] < 1e-5
    whole = torch.randn(1, 64, 4)
    torch.testing.assert_close(
        apply(make("official"), whole), apply(make("linear"), whole), rtol=0, atol=1e-5
    )


def published(layer, u):
    """The published transforms for inputs of any length, in float64."""
    k, taps = layer.kernel().double(), min(u.shape[2], layer.l_max)
    size = taps + u.shape[2]
    if layer.bidirectional:
        first, second = k.chunk(2)
        pad = torch.nn.functional.pad
        k = pad(first, (0, u.shape[2])) + pad(second.flip(-1), (u.shape[2], 0))
    spectrum = torch.fft.rfft(k, n=size) * torch.fft.rfft(u.double(), n=size).unsqueeze(1)
    y = torch.fft.irfft(spectrum, n=size)[..., : u.shape[2]]
    return y + layer.D.unsqueeze(-1).double() * u.unsqueeze(1)


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("length", [9, 20, 33])
def test_official_mode_is_the_published_one_at_other_lengths(bidirectional, length):
    layer = layer_of(20, bidirectional=bidirectional, mode="official", postact=None,
                     activation="id", channels=2)  # fmt: skip
    u = torch.randn(2, 4, length)
    wanted = published(layer, u).flatten(1, 2).float()
    torch.testing.assert_close(layer(u)[0], wanted, rtol=0, atol=2e-5)


def two_sided(u, back, ahead, skip):
    """By definition, float64: lag i from ``back``, lag -(i + 1) from ``ahead``."""
    y = skip.double().unsqueeze(-1) * u.double()
    length = u.shape[-1]
    for t in range(length):
        for s in range(length):
            lag = t - s
            taps, i = (back, lag) if lag >= 0 else (ahead, -lag - 1)
            if i < taps.shape[-1]:
                y[..., t] += taps[..., i].double() * u[..., s].double()
    return y


@pytest.mark.parametrize("length", [1, 5, 16, 23])
@pytest.mark.parametrize("kind", ["bidirectional", "circular2L", "blocks", "blocks circular2L"])
def test_two_sided_layers_by_definition_at_every_length(kind, length):
    options = {"bidirectional": True} if "bi" in kind else {}
    options |= {"mode": "circular2L"} if "circular" in kind else {"bidirectional": True}
    if "blocks" in kind:
        options |= {"block_fft_conv": True}
    layer = layer_of(16, d_model=3, postact=None, activation="id", lam=0.0, **options)
    k = layer.kernel.kernel.detach()
    if "circular" in kind:
        back, ahead = k[0, :, :16], k[0, :, 16:].flip(-1)
    else:
        back, ahead = k
    u = torch.randn(2, 3, length)
    wanted = two_sided(u, back, ahead, layer.D[0].detach())
    torch.testing.assert_close(layer(u)[0].double(), wanted, rtol=0, atol=2e-5)


@pytest.mark.parametrize("options", [{}, {"block_fft_conv": True}, {"use_ma_smoothing": True}])
def test_convolution_is_linear_shifts_and_shows_its_taps(options):
    layer = layer_of(24, channels=2, postact=None, activation="id", **options)
    impulse = torch.zeros(1, 4, 24)
    impulse[..., 0] = 1
    wanted = layer.kernel() + torch.nn.functional.pad(layer.D.unsqueeze(-1), (0, 23))
    found = layer(impulse)[0].unflatten(1, (2, 4))[0]
    torch.testing.assert_close(found, wanted, rtol=0, atol=2e-6)
    late, shifted = layer(impulse.roll(5, -1))[0], layer(impulse)[0].roll(5, -1)
    torch.testing.assert_close(late[..., 5:], shifted[..., 5:], rtol=0, atol=2e-6)
    assert late[..., :5].abs().max() < 2e-6
    a, b = torch.randn(2, 1, 4, 24)
    torch.testing.assert_close(
        layer(2 * a - b)[0], 2 * layer(a)[0] - layer(b)[0], rtol=0, atol=2e-5
    )


def test_symmetric_two_sided_kernels_commute_with_time_reversal():
    layer = layer_of(24, bidirectional=True)
    with torch.no_grad():
        k = layer.kernel.kernel
        k[1, :, :-1] = k[0, :, 1:]  # lag -(i + 1) as lag i + 1
        k[1, :, -1] = 0
    u = torch.randn(2, 4, 24)
    torch.testing.assert_close(layer(u.flip(2))[0], layer(u)[0].flip(2), rtol=0, atol=1e-5)


def test_limits_of_squash():
    u = torch.randn(2, 4, 20)
    layer = layer_of(20, lam=100.0, postact=None, activation="id")
    assert torch.equal(layer(u)[0], layer.D[0].unsqueeze(-1) * u)
    layer = layer_of(20, lam=0.0)
    assert torch.equal(layer.kernel(), layer.kernel.kernel)


def test_padding_does_not_matter():
    layer = layer_of(16, bidirectional=True)
    lengths = torch.tensor([5, 16, 0])
    u = torch.randn(3, 4, 16)
    other = torch.where(torch.arange(16) < lengths.view(3, 1, 1), u, torch.randn(3, 4, 16))
    for options in ({}, {"mode": "official"}, {"block_fft_conv": True}):
        layer = layer_of(16, bidirectional=True, **options)
        y = layer(u, lengths)[0]
        torch.testing.assert_close(layer(other, lengths)[0], y)
        alone = layer(u[:1, :, :5])[0]
        if not options:
            torch.testing.assert_close(y[:1, :, :5], alone, rtol=0, atol=1e-5)
        torch.testing.assert_close(layer(u, 5)[0], layer(u, torch.tensor([5]))[0])


@pytest.mark.parametrize("shape", [(0, 3, 8), (1, 1, 1), (2, 1, 8), (1, 3, 1)])
def test_degenerate_shapes(shape):
    for options in ({}, {"bidirectional": True}, {"mode": "circular2L"}):
        layer = LongConv(shape[1], 8, channels=2, **options)
        u = torch.randn(shape, requires_grad=True)
        layer(u)[0].sum().backward()
        assert u.grad.shape == shape
    layer = H3Conv(shape[1], 8)
    assert layer(torch.randn(shape).transpose(1, 2)).shape == (shape[0], shape[2], shape[1])


def steps(layer, u, state=None):
    found = []
    for t in range(u.shape[1]):
        y, state = layer.step(state, u[:, t])
        found.append(y)
    return torch.stack(found, 1), state


@pytest.mark.parametrize("kind", CAUSAL)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_steps_equal_forward(kind, dtype):
    layer = CAUSAL[kind]().to(dtype)
    u = torch.randn(3, 75, 4, dtype=dtype)  # twice around the ring of 32
    y = apply(layer, u)
    tolerance = 2e-5 if dtype == torch.float32 else 1e-12
    torch.testing.assert_close(steps(layer, u)[0], y, rtol=0, atol=tolerance)
    for prompt in (1, 20, 32, 50):
        start = u[:, :prompt]
        native = start.transpose(1, 2) if getattr(layer, "transposed", False) else start
        _, state = layer.prefill(native)
        found, _ = steps(layer, u[:, prompt:], state)
        torch.testing.assert_close(found, y[:, prompt:], rtol=0, atol=tolerance)


def test_states_can_be_selected():
    layer = layer_of()
    u, index = torch.randn(2, 9, 4), torch.tensor([1, 1, 0])
    _, state = layer.prefill(u.transpose(1, 2))
    beams = state.select(index)
    new = torch.randn(2, 4)
    y, _ = layer.step(state, new)
    found, _ = layer.step(beams, new[index])
    torch.testing.assert_close(found, y[index])


@pytest.mark.parametrize(
    "options",
    [{"bidirectional": True}, {"mode": "circular2L"}, {"mode": "official"},
     {"block_fft_conv": True}],
)  # fmt: skip
def test_layers_that_look_ahead_have_no_steps(options):
    with pytest.raises(ValueError, match="step: this layer looks ahead"):
        LongConv(4, 8, **options).step(None, torch.ones(1, 4))
    with pytest.raises(ValueError, match="u_t: got shape"):
        layer = LongConv(4, 8)
        layer.step(layer.init_state(2), torch.ones(1, 4))


def test_strict_length():
    layer = LongConv(2, 4, strict_length=True).eval()
    layer(torch.ones(1, 2, 4))
    with pytest.raises(ValueError, match="u: got 5 positions with strict_length"):
        layer(torch.ones(1, 2, 5))
    _, state = layer.prefill(torch.ones(1, 2, 4))
    with pytest.raises(ValueError, match="position 4 is beyond l_max"):
        layer.step(state, torch.ones(1, 2))


def test_dead_taps():
    with pytest.raises(ValueError, match="leaves no tap alive"):
        LongConvKernel(8, 256, lam=0.1, squash_grad="hard")
    with pytest.warns(UserWarning, match="of the taps alive"):
        assert LongConvKernel(64, 256, lam=0.0045, squash_grad="hard").live_taps() < 0.05
    with pytest.warns(UserWarning):
        dead = LongConvKernel(8, 256, lam=0.1, squash_grad="hard", allow_dead=True)
    assert dead.live_taps() == 0
    dead().sum().backward()
    assert dead.kernel.grad.abs().max() == 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        kernel = LongConvKernel(64, 256, lam=0.1)
        LongConvKernel(64, 256, lam=0.002, squash_grad="hard")
    kernel().sum().backward()
    assert (kernel.kernel.grad == 1).all()
    # P(|z| > lam / 0.002)
    assert abs(LongConvKernel(128, 1024, lam=0.002).live_taps() - 0.317) < 0.01


def test_kernel_dropout():
    kernel = LongConvKernel(4, 1000, lam=0.0, kernel_dropout=0.25)
    taps = kernel()
    kept = taps != 0
    assert abs(kept.double().mean() - 0.75) < 0.03
    torch.testing.assert_close(taps[kept], (kernel.kernel / 0.75)[kept])
    kernel.eval()
    assert torch.equal(kernel(), kernel.kernel)


@pytest.mark.parametrize("transposed", [True, False])
def test_tied_dropout_is_the_same_at_all_times(transposed):
    layer = layer_of(8, d_model=64, dropout=0.5, tie_dropout=True, transposed=transposed,
                     postact=None, activation="id", lam=100.0).train()  # fmt: skip
    y, _ = layer(torch.ones(2, 64, 8) if transposed else torch.ones(2, 8, 64))
    y = y if transposed else y.transpose(1, 2)
    dropped = y == 0
    assert torch.equal(dropped.all(2), dropped.any(2))
    assert 0.25 < dropped[..., 0].double().mean() < 0.75
    assert not torch.equal(dropped[0], dropped[1])


@pytest.mark.parametrize("make", [
    lambda **k: LongConv(4, 16, channels=2, **k),
    lambda **k: LongConv(4, 16, bidirectional=True, weight_norm=True, **k),
    lambda **k: LongConv(4, 16, block_fft_conv=True, transposed=False, **k),
    lambda **k: H3Conv(4, 16, **k),
])  # fmt: skip
def test_state_copies_and_meta_device(make):
    layer = make(learning_rate=1e-3)
    u = torch.randn(2, 16, 4)
    y = apply(layer, u)
    other = make(learning_rate=1e-3)
    other.load_state_dict(layer.state_dict())
    copies = [other, copy.deepcopy(layer)]
    if not any("parametrizations" in name for name, _ in layer.named_parameters()):
        pickled = io.BytesIO()  # PyTorch pickles no weight_norm
        torch.save(layer, pickled)
        pickled.seek(0)
        copies.append(torch.load(pickled, weights_only=False))
    for found in copies:
        assert torch.equal(apply(found, u), y)
        assert found.kernel.kernel._optim == {"lr": 1e-3, "weight_decay": 0.0}
    meta = make(device="meta")
    assert {k: v.shape for k, v in meta.state_dict().items()} == {
        k: v.shape for k, v in layer.state_dict().items()
    }
    meta.to_empty(device="cpu").reset_parameters()
    assert apply(meta, u).isfinite().all() and meta.kernel.kernel.std() < 0.003


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_weight_norm_loads_the_old_form():
    layer = LongConv(4, 16, weight_norm=True)
    weight = torch.randn(8, 4)
    old = torch.nn.utils.weight_norm(torch.nn.Linear(4, 8))
    with torch.no_grad():
        old.weight_v.copy_(weight)
    state = {k: v for k, v in layer.state_dict().items() if "output_linear" not in k}
    state |= {f"output_linear.0.{k}": v for k, v in old.state_dict().items()}
    layer.load_state_dict(state)
    u = torch.randn(1, 4, 16)
    layer.activation = torch.nn.Identity()
    mixed = layer._convolve(u, None).flatten(1, 2).transpose(1, 2)
    torch.testing.assert_close(
        layer(u)[0].transpose(1, 2), torch.nn.functional.glu(old(mixed)), rtol=0, atol=1e-6
    )


@pytest.mark.parametrize("make", [
    lambda: LongConv(3, 16, channels=2), lambda: LongConv(3, 16, bidirectional=True),
    lambda: LongConv(3, 16, use_ma_smoothing=True, smooth_freq=True, mode="circular2L"),
    lambda: LongConv(3, 16, block_fft_conv=True), lambda: H3Conv(3, 16),
])  # fmt: skip
def test_compiles_whole(make):
    layer = make().eval()
    u = torch.randn(2, 12, 3)
    u = u if isinstance(layer, H3Conv) else u.transpose(1, 2)
    compiled = torch.compile(layer, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(u), layer(u))


@pytest.mark.parametrize("make", [lambda: LongConv(3, 16), lambda: H3Conv(3, 16)])
def test_exports_with_any_batch(make):
    layer = make().eval()
    u = torch.randn(2, 3, 12) if isinstance(layer, LongConv) else torch.randn(2, 12, 3)
    shapes = ({0: torch.export.Dim("batch", min=1, max=64)},)
    program = torch.export.export(layer, (u,), dynamic_shapes=shapes)
    other = torch.randn(5, *u.shape[1:])
    torch.testing.assert_close(program.module()(other), layer(other))


@pytest.mark.parametrize("kind", [*CAUSAL, "bidirectional"])
def test_autocast_and_half_modules(kind):
    layer = layer_of(bidirectional=True) if kind == "bidirectional" else CAUSAL[kind]()
    u = torch.randn(2, 32, 4)
    wanted = apply(layer, u)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = apply(layer, u)
        if kind not in ("bidirectional", "h3"):
            torch.testing.assert_close(steps(layer, u)[0], found, rtol=0, atol=0.05)
    found.float().square().sum().backward()
    assert found.dtype == torch.bfloat16
    scale = wanted.abs().max()
    assert (found.float() - wanted).abs().max() < 0.05 * scale
    if kind != "blocks":
        half = copy.deepcopy(layer).bfloat16()
        assert (apply(half, u.bfloat16()).float() - wanted).abs().max() < 0.1 * scale


@pytest.mark.parametrize("make", [
    lambda: LongConv(2, 6, channels=2, lam=0.0), lambda: H3Conv(2, 6, lam=0.0),
    lambda: LongConv(2, 6, bidirectional=True, block_fft_conv=True, lam=0.0),
])  # fmt: skip
def test_gradcheck(make):
    layer = make().double()
    names = [name for name, _ in layer.named_parameters()]
    u = torch.randn(1, 2, 5) if isinstance(layer, LongConv) else torch.randn(1, 5, 2)

    def call(u, *parameters):
        state = dict(zip(names, parameters, strict=True))
        y = torch.func.functional_call(layer, state, (u,))
        return y[0] if isinstance(y, tuple) else y

    used = [p.detach().requires_grad_() for p in layer.parameters()]
    assert torch.autograd.gradcheck(call, (u.double().requires_grad_(), *used), eps=1e-6)


def test_parameter_groups():
    layer = LongConv(4, 16, learning_rate=1e-3, block_fft_conv=True)
    frozen = LongConv(4, 16, learning_rate=0.0)
    assert "kernel.kernel" not in dict(frozen.named_parameters())
    assert "kernel.kernel" in frozen.state_dict()
    groups = param_groups(torch.nn.ModuleList([layer, frozen]), lr=0.01, weight_decay=0.05)
    sizes = {(g["lr"], g["weight_decay"]): len(g["params"]) for g in groups}
    # the taps, and both butterflies' four matrices; three others and three of the frozen layer
    assert sizes == {(0.01, 0.05): 6, (1e-3, 0.0): 9}
    assert groups[0]["lr"] == 0.01


def test_training_with_the_proximal_step_makes_taps_zero():
    from kernelmill.ops import prox_squash_

    layer = LongConv(2, 32, lam=0.0)
    optimizer = torch.optim.SGD(param_groups(layer, lr=0.1))
    before = layer.kernel.live_taps()
    for _ in range(3):
        optimizer.zero_grad()
        layer(torch.randn(4, 2, 32))[0].square().mean().backward()
        optimizer.step()
        prox_squash_(layer.kernel.kernel, 0.01 * 0.1)
    assert before == 1 and layer.kernel.live_taps() < 0.9


def circular(u, k, size):
    spectrum = torch.fft.rfft(u.double(), n=size) * torch.fft.rfft(k.double(), n=size)
    return torch.fft.irfft(spectrum, n=size)[..., : u.shape[-1]]


@pytest.mark.parametrize(("length", "taps", "size"), [
    (32, 32, 64), (32, 32, 32), (20, 32, 32), (32, 1, 32), (30, 7, 33), (1, 1, 1), (32, 20, 45),
])  # fmt: skip
def test_fft_conv_is_the_transform_of_its_size(length, taps, size):
    u, k = torch.randn(2, 3, length), torch.randn(3, taps)
    conv = FFTConv(size, torch.float32)
    torch.testing.assert_close(conv(u, k).double(), circular(u, k, size), rtol=0, atol=2e-5)
    a, b = torch.randn(2, 2, 3, length)
    wanted = b * circular(a * u, k, size)
    torch.testing.assert_close(conv(u, k, a, b).double(), wanted, rtol=0, atol=5e-5)
    assert not conv.state_dict()
    half = FFTConv(size, torch.bfloat16)(u.bfloat16(), k)
    assert half.dtype == torch.bfloat16


@pytest.mark.parametrize(
    ("error", "message", "call"),
    [
        (ValueError, "l_max: got None", lambda: LongConv(4, None)),
        (ValueError, "l_max: got 0", lambda: LongConv(4, 0)),
        (ValueError, "d_model: got 0", lambda: LongConv(0, 8)),
        (ValueError, "channels: got 0", lambda: LongConv(4, 8, channels=0)),
        (ValueError, "activation: got 'glu'", lambda: LongConv(4, 8, activation="glu")),
        (ValueError, "postact: got 'relu'", lambda: LongConv(4, 8, postact="relu")),
        (ValueError, "mode: got 'x'", lambda: LongConv(4, 8, mode="x")),
        (ValueError, "bidirectional: got True", lambda: LongConv(4, 8, 1, True, mode="circular2L")),
        (ValueError, "dropout: got 1.0", lambda: LongConv(4, 8, dropout=1.0)),
        (ValueError, "kernel_dropout: got -0.1", lambda: LongConv(4, 8, kernel_dropout=-0.1)),
        (ValueError, "lam: got -1", lambda: LongConv(4, 8, lam=-1)),
        (ValueError, "width: got 4",
         lambda: LongConv(4, 8, use_ma_smoothing=True, ma_window_len=4)),
        (ValueError, "weight_init: got 'zeros'", lambda: LongConv(4, 8, weight_init="zeros")),
        (ValueError, "learning_rate: got -1", lambda: LongConv(4, 8, learning_rate=-1)),
        (ValueError, "block_fft_conv_args", lambda: LongConv(4, 8, block_fft_conv_args={"x": 1})),
        (TypeError, "unexpected keyword", lambda: LongConv(4, 8, lamda=0.1)),
        (ValueError, "wanted (B, 4, L)", lambda: LongConv(4, 8)(torch.ones(2, 8, 4))),
        (ValueError, "wanted (B, L, 4)",
         lambda: LongConv(4, 8, transposed=False)(torch.ones(2, 4, 8))),
        (ValueError, "u: got torch.int64",
         lambda: LongConv(4, 8)(torch.ones(2, 4, 8, dtype=torch.int64))),
        (ValueError, "lengths: got values from 9", lambda: LongConv(4, 8)(torch.ones(2, 4, 8), 9)),
        (ValueError, "lengths: got values from 1 to 9",
         lambda: LongConv(4, 8)(torch.ones(2, 4, 8), torch.tensor([1, 9]))),
        (TypeError, "lengths: got list", lambda: LongConv(4, 8)(torch.ones(2, 4, 8), [1, 2])),
        (ValueError, "lengths: got values from -1",
         lambda: LongConv(4, 8, mode="official")(torch.ones(2, 4, 8), torch.tensor([-1, 2]))),
        (ValueError, "lengths: got shape (3,)",
         lambda: LongConv(4, 8)(torch.ones(2, 4, 8), torch.tensor([1, 2, 3]))),
        (ValueError, "channels: H3Conv sets it", lambda: H3Conv(4, 8, channels=2)),
        (ValueError, "mode: got 'circular2L'", lambda: H3Conv(4, 8, mode="circular2L")),
        (ValueError, "u: got shape", lambda: H3Conv(4, 8)(torch.ones(2, 4, 8))),
        (ValueError, "wanted mode='linear'",
         lambda: H3Conv(4, 8, mode="official").step(None, torch.ones(2, 4))),
        (ValueError, "seqlen: got 0", lambda: FFTConv(0)),
        (ValueError, "dtype: got torch.int64", lambda: FFTConv(8, torch.int64)),
        (TypeError, "u: got torch.float32",
         lambda: FFTConv(8)(torch.ones(1, 1, 8), torch.ones(1, 8))),
        (ValueError, "k: got shape (1, 9)",
         lambda: FFTConv(8, torch.float32)(torch.ones(1, 1, 8), torch.ones(1, 9))),
    ],
)  # fmt: skip
def test_bad_arguments(error, message, call):
    with pytest.raises(error) as caught:
        call()
    assert message in str(caught.value)
