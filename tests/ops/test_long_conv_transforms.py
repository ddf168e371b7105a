"""Squash, smoothing and the block transform: golden vectors, limits, errors."""

from __future__ import annotations

import pytest
import torch

from kernelmill.ops.long_conv import butterfly_fft, prox_squash_, smooth_kernel, squash
from kernelmill.ops.long_conv.butterfly import dft_matrix
from tests import goldens

SYSTEM = "long-conv"


def kernel_of(name, k):
    if name.startswith("k01"):
        return squash(k, 0.04, "hard")
    if name.startswith("k02"):
        return squash(smooth_kernel(k, 7), 0.01, "hard")
    if name.startswith("k03"):
        return squash(smooth_kernel(k, 7, "freq"), 0.05, "hard")
    return squash(k, 0.02, "hard")


@pytest.mark.parametrize(
    "name", ["k01_squash", "k02_ma_smooth_time", "k03_smooth_freq", "k04_noncausal_2L"]
)
def test_golden_kernels(name):
    golden = goldens.load(SYSTEM, name)
    raw = golden["state/kernel"].requires_grad_()
    k = kernel_of(name, raw)
    torch.testing.assert_close(k, golden["output/k"], rtol=0, atol=1e-6)
    (k * golden["input/cotangent"]).sum().backward()
    torch.testing.assert_close(raw.grad, golden["grad/kernel"], rtol=0, atol=5e-5)


def test_squash_shrinks_and_is_exact():
    k = torch.tensor([-2.0, -0.5, 0.0, 0.25, 0.5, 1.0])
    wanted = torch.tensor([-1.5, 0.0, 0.0, 0.0, 0.0, 0.5])
    for grad in ("straight_through", "hard"):
        assert torch.equal(squash(k, 0.5, grad), wanted)
        assert torch.equal(squash(k, 0.0, grad), k)
    changed = k.clone()
    assert prox_squash_(changed, 0.5) is changed and torch.equal(changed, wanted)


def test_gradients_of_squash():
    k = torch.tensor([-2.0, -0.5, 0.0, 0.25, 0.5, 1.0], requires_grad=True)
    (hard,) = torch.autograd.grad(squash(k, 0.5, "hard").sum(), k)
    assert hard.tolist() == [1, 0, 0, 0, 0, 1]  # nothing at equality
    (through,) = torch.autograd.grad(squash(k, 0.5).sum(), k)
    assert through.tolist() == [1] * 6


@pytest.mark.parametrize("length", [1, 2, 9, 40])
def test_smoothing_limits(length):
    k = torch.randn(2, 3, length, dtype=torch.float64)
    for domain in ("time", "freq"):
        assert smooth_kernel(k, 7, domain).shape == k.shape
        torch.testing.assert_close(smooth_kernel(k, 1, domain), k)
    constant = smooth_kernel(torch.full((1, length), 3.0), 5)
    torch.testing.assert_close(constant[:, 2:-2], torch.full_like(constant[:, 2:-2], 3.0))
    narrow = smooth_kernel(torch.randn(2, length).bfloat16(), 3, "freq")
    assert narrow.dtype == torch.bfloat16


def test_smoothing_in_frequency_is_a_window_on_the_taps():
    """Away from its ends, adding up neighbours in the spectrum multiplies the taps; one cosine
    lies on a single frequency."""
    time = torch.arange(64, dtype=torch.float64)
    k = torch.cos(2 * torch.pi * 20 * time / 64)
    weights = torch.exp(-0.5 * torch.arange(-3, 4, dtype=torch.float64) ** 2)
    wanted = sum(
        w * torch.cos(2 * torch.pi * (20 + i) * time / 64)
        for i, w in zip(range(-3, 4), weights, strict=True)
    )
    torch.testing.assert_close(smooth_kernel(k, 7, "freq"), wanted)


@pytest.mark.parametrize(
    ("error", "message", "call"),
    [
        (ValueError, "lam: got -1", lambda: squash(torch.ones(2), -1)),
        (ValueError, "lam: got nan", lambda: squash(torch.ones(2), float("nan"))),
        (ValueError, "grad: got 'soft'", lambda: squash(torch.ones(2), 0.1, "soft")),
        (TypeError, "k: got torch.int64", lambda: squash(torch.ones(2, dtype=torch.int64), 0.1)),
        (TypeError, "param: got list", lambda: prox_squash_([1.0], 0.1)),
        (ValueError, "amount: got -0.1", lambda: prox_squash_(torch.ones(2), -0.1)),
        (ValueError, "width: got 4", lambda: smooth_kernel(torch.ones(8), 4)),
        (ValueError, "width: got 0", lambda: smooth_kernel(torch.ones(8), 0)),
        (ValueError, "domain: got 'space'", lambda: smooth_kernel(torch.ones(8), 3, "space")),
        (ValueError, "k: got shape (2, 0)", lambda: smooth_kernel(torch.ones(2, 0), 3)),
        (ValueError, "max_m: got 12", lambda: butterfly_fft(torch.ones(8), max_m=12)),
        (ValueError, "n: got 0", lambda: butterfly_fft(torch.ones(8), 0)),
    ],
)
def test_bad_arguments(error, message, call):
    with pytest.raises(error) as caught:
        call()
    assert message in str(caught.value)


@pytest.mark.parametrize("max_m", [2, 8, 16, 32])
@pytest.mark.parametrize("n", [1, 2, 4, 16, 17, 64, 100, 512, 4096])
def test_with_fourier_matrices_it_is_the_fourier_transform(n, max_m):
    x = torch.randn(2, 3, n, dtype=torch.complex128)
    size = 1 << (n - 1).bit_length()
    wanted = torch.fft.fft(x, size)
    torch.testing.assert_close(butterfly_fft(x, max_m=max_m), wanted, rtol=0, atol=1e-10)
    found = butterfly_fft(x.to(torch.complex64), max_m=max_m)
    assert (found - wanted).abs().max() <= 2e-6 * wanted.abs().max()


def test_input_types_and_cropping_of_the_block_transform():
    x = torch.randn(3, 40)
    torch.testing.assert_close(butterfly_fft(x, 32), torch.fft.fft(x, 32), rtol=0, atol=2e-5)
    assert butterfly_fft(x.half()).dtype == torch.complex64
    assert butterfly_fft(x.double()).dtype == torch.complex128
    assert butterfly_fft(torch.ones(8, dtype=torch.int64))[0] == 8


def test_roots_are_rounded_from_float64():
    exact = dft_matrix(64, torch.complex128)
    assert torch.equal(dft_matrix(64), exact.to(torch.complex64))
    assert (exact @ exact.conj() / 64 - torch.eye(64)).abs().max() < 1e-13
