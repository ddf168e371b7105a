"""ButterflyFFT: golden vectors of the learned transform, its state, and what was wrong there."""

from __future__ import annotations

import copy

import pytest
import torch

from kernelmill.nn import ButterflyFFT
from tests import goldens

SYSTEM = "long-conv"


@pytest.mark.parametrize("name", [n for n in goldens.names(SYSTEM) if n[:3] in (
    "b01", "b02", "b03", "b04", "b05", "b06")])  # fmt: skip
def test_golden_transforms(name):
    golden, config = goldens.load(SYSTEM, name), goldens.config(SYSTEM, name)
    fft = ButterflyFFT(config["learn"], config["H"], config["additive"], config["max_m"])
    fft.load_state_dict(goldens.state(golden))
    found = fft(torch.view_as_complex(golden["input/x_ri"]), config["N"])
    wanted = torch.view_as_complex(golden["output/X_ri"])
    assert (found - wanted).abs().max() <= 3e-5 * wanted.abs().max()
    if not config["learn"]:
        return
    (torch.view_as_real(found) * golden["input/cotangent_ri"]).sum().backward()
    used = {key[5:] for key in golden if key.startswith("grad/")}
    for key, parameter in fft.named_parameters():
        assert (parameter.grad is not None) == (key in used)
        if key in used:
            wanted = golden[f"grad/{key}"]
            assert (parameter.grad - wanted).abs().max() <= 5e-5 * wanted.abs().max()


@pytest.mark.parametrize("max_m", [4, 16, 32])
@pytest.mark.parametrize("n", [1, 2, 8, 16, 100, 256])
def test_before_learning_it_is_the_fourier_transform_and_back(n, max_m):
    fft = ButterflyFFT(heads=3, max_m=max_m)
    x = torch.randn(2, 3, n)
    size = 1 << (n - 1).bit_length()
    wanted = torch.fft.fft(x.double(), size)
    found = fft(x)
    assert (found - wanted).abs().max() <= 2e-6 * wanted.abs().max()
    torch.testing.assert_close(fft.inverse(found).real[..., :n], x, rtol=0, atol=1e-5)


def test_state_and_options():
    fft = ButterflyFFT(heads=2, max_m=8, learning_rate=0.01)
    state = fft.state_dict()
    assert {k: tuple(v.shape) for k, v in state.items()} == {
        "mat_2": (2, 2, 2, 2), "mat_4": (2, 4, 4, 2), "mat_8": (2, 8, 8, 2),
    }  # fmt: skip
    for copied in (fft, copy.deepcopy(fft)):
        assert copied.mat_4._optim == {"lr": 0.01, "weight_decay": 0.0}
    published = state | {f"dft_matrices.{i}": v for i, v in enumerate(state.values())}
    ButterflyFFT(heads=2, max_m=8).load_state_dict(published)
    meta = ButterflyFFT(heads=2, max_m=8, device="meta").to_empty(device="cpu")
    meta.reset_parameters()
    assert torch.equal(meta.mat_8, fft.mat_8)
    assert not list(ButterflyFFT(learn=False).parameters())


def test_additive_and_dropout():
    fft = ButterflyFFT(additive=True, dropout=0.5)
    assert 0 < fft.mat_16.std() < 0.02
    x = torch.randn(4, 64)
    assert not torch.equal(fft(x), fft(x))
    fft.eval()
    assert torch.equal(fft(x), fft(x))
    with torch.no_grad():
        for parameter in fft.parameters():
            parameter.zero_()
    torch.testing.assert_close(fft(x), torch.fft.fft(x), rtol=0, atol=2e-5)


def test_gradcheck():
    fft = ButterflyFFT(heads=2, max_m=4, dtype=torch.float64)
    x = torch.randn(1, 2, 8, dtype=torch.float64, requires_grad=True)

    def loss(x, two, four):
        return torch.view_as_real(
            torch.func.functional_call(fft, {"mat_2": two, "mat_4": four}, (x,))
        )

    assert torch.autograd.gradcheck(loss, (x, fft.mat_2, fft.mat_4))


@pytest.mark.parametrize(
    ("message", "call"),
    [
        ("max_m: got 12", lambda: ButterflyFFT(max_m=12)),
        ("heads: got 0", lambda: ButterflyFFT(heads=0)),
        ("dropout: got 1", lambda: ButterflyFFT(dropout=1.0)),
        ("learning_rate: got 0", lambda: ButterflyFFT(learning_rate=0.0)),
        ("wanted (..., 3, L)", lambda: ButterflyFFT(heads=3)(torch.ones(2, 8))),
        ("N a power of two", lambda: ButterflyFFT().inverse(torch.ones(12))),
    ],
)
def test_bad_arguments(message, call):
    with pytest.raises(ValueError) as caught:
        call()
    assert message in str(caught.value)
