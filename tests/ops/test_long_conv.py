"""Long convolutions: the direct sum, causality, invariants, errors, memory."""

from __future__ import annotations

import pytest
import torch
from torch.autograd.graph import saved_tensors_hooks

from kernelmill.ops import long_conv, long_conv_backend
from kernelmill.ops.long_conv.plan import plan
from kernelmill.ops.native import native
from tests import goldens
from tests.ops import battery

LENGTHS = [1, 2, 3, 7, 16, 17, 100, 257, 1000, 4099]
needs_kernels = pytest.mark.skipif(native() is None, reason="no compiled kernels")


def backends() -> list[str]:
    return ["reference", *([] if native() is None else [f"cpu:{isa}" for isa in native().isas])]


def direct(u, k, skip, k_rev, offset):
    """The definition, lag by lag, in float64: u (B, H, L), k (H, Lk) -> (B, H, L)."""
    u, k = u.double(), k.double()
    length = u.shape[2]
    y = skip.double()[:, None] * u
    for lag in range(min(length, k.shape[1])):
        y[..., lag:] += k[:, lag, None] * u[..., : length - lag]
    for i in range(0 if k_rev is None else k_rev.shape[1]):
        if (lag := i + offset) < length:
            y[..., : length - lag] += k_rev.double()[:, i, None] * u[..., lag:]
    return y


def draw(*shape, seed=0, dtype=torch.float32):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def close(got, want, tolerance=2e-6):
    error = (got.double() - want).abs().max().item()
    limit = tolerance * max(want.abs().max().item(), 1.0)
    assert error <= limit, f"error {error:.3g}, limit {limit:.3g}"


@pytest.mark.parametrize("name", backends())
@pytest.mark.parametrize("taps", ["one", "half", "all", "twice"])
@pytest.mark.parametrize("length", LENGTHS)
def test_equals_the_direct_sum(length, taps, name):
    count = {"one": 1, "half": max(1, length // 2), "all": length, "twice": 2 * length}[taps]
    u, k, skip = draw(2, 2, length), draw(2, count, seed=1) / count**0.5, draw(2, seed=2)
    with battery.backend(name), battery.poisoned():
        close(long_conv(u, k, skip), direct(u, k, skip, None, 1))


@pytest.mark.parametrize("name", backends())
@pytest.mark.parametrize("offset", [0, 1])
@pytest.mark.parametrize("length", [1, 2, 7, 100, 257, 1000])
def test_equals_the_direct_sum_in_both_directions(length, offset, name):
    u, skip = draw(2, 2, length), draw(2, seed=2)
    for taps, ahead in ((length, length), (3, 2 * length), (length, 1), (2, 5)):
        k, k_rev = (draw(2, n, seed=n) / n**0.5 for n in (taps, ahead))
        with battery.backend(name), battery.poisoned():
            got = long_conv(u, k, skip, k_rev, reverse_offset=offset)
        close(got, direct(u, k, skip, k_rev, offset))


@needs_kernels
@pytest.mark.parametrize("isa", native().isas if native() else [])
@pytest.mark.parametrize("length", [64, 65, 130, 192, 320, 500, 900, 1500, 1800, 3000, 20000])
def test_values_and_gradients_at_every_radix(length, isa):
    """All first radices, passes of radix 2, rows cut into blocks, few taps."""
    cases = ((length, 0), (length, length), (60, 0), (50, 20), (40, 0), (9, 30))
    for taps, ahead in cases:
        u, k = draw(3, 2, length), draw(2, taps, seed=1) / taps**0.5
        k_rev = draw(2, ahead, seed=3) / ahead**0.5 if ahead else None
        found = []
        for name, dtype in ((f"cpu:{isa}", torch.float32), ("reference", torch.float64)):
            leaves = [t.to(dtype, copy=True).requires_grad_() for t in (u, k, draw(2, seed=2))]
            if ahead:
                leaves.append(k_rev.to(dtype, copy=True).requires_grad_())
            with battery.backend(name), battery.poisoned():
                y = long_conv(*leaves)
                grads = torch.autograd.grad(y, leaves, draw(3, 2, length, seed=4).to(dtype))
            found.append([y.detach(), *grads])
        for got, want in zip(*found, strict=True):
            close(got, want, 4e-6)


@pytest.mark.parametrize("name", backends())
@pytest.mark.parametrize("case", ["c01_causal_ch2", "c02_bidirectional", "c03_causal_lengths",
                                  "c04_bidir_ch2_relu_nopost", "c05_no_squash"])  # fmt: skip
def test_golden_vectors(case, name):
    """The official layer's convolution and skip connection, as its authors' code has them."""
    golden = goldens.load("long-conv", case)
    u, skip, k = golden["input/u"], golden["state/D"], golden["output/effective_kernel"]
    if u.shape[2] == skip.shape[1]:  # the other layout, (B, L, H)
        u = u.transpose(1, 2)
    count = skip.shape[0]
    k_rev = k[count:] if len(k) > count else None
    with battery.backend(name):
        got = long_conv(u, k[:count], skip, k_rev, lengths=golden.get("input/lengths"))
    close(got, golden["output/conv_plus_skip64"], 1e-6)


@pytest.mark.parametrize("name", backends()[1:])
@pytest.mark.parametrize("taps", [60, 20])
def test_many_blocks_with_gates_and_lengths(taps, name):
    """Blocks of a long row (transforms, then chunks of the direct sum), every feature at once."""
    length = 3000
    args = dict(u=draw(2, 1, length), k=draw(2, 1, taps, seed=1), D=draw(2, 1, seed=2))
    args |= dict(k_rev=draw(2, 1, 25, seed=3), in_gate=draw(2, 1, length, seed=4))
    args["out_gate"] = draw(2, 2, 1, length, seed=5)
    assert plan(length, taps, 25).step < length or taps == 20
    found = []
    for backend, dtype in ((name, torch.float32), ("reference", torch.float64)):
        leaves = {n: t.to(dtype, copy=True).requires_grad_() for n, t in args.items()}
        with battery.backend(backend), battery.poisoned():
            y = long_conv(**leaves, lengths=torch.tensor([3000, 2100]))
            grads = torch.autograd.grad(y, leaves.values(), draw(*y.shape, seed=6).to(dtype))
        found.append([y.detach(), *grads])
    for got, want in zip(*found, strict=True):
        close(got, want, 4e-6)


def test_every_plan_has_room():
    for length in (1, 5, 63, 64, 65, 300, 1000, 4097, 70000):
        for taps in {1, 2, 48, 49, length // 3 + 1, length}:
            for reach in {0, 1, min(50, length - 1), length - 1}:
                if taps > length or reach >= length:
                    continue
                found = plan(length, taps, reach)
                if not found.size:
                    assert taps + reach <= 64
                    continue
                part, rest = divmod(found.size, found.radix)
                assert not rest and part % 64 == 0 and (part & (part - 1)) == 0
                if found.whole:
                    assert found.size >= length == found.step
                else:
                    assert 1 <= found.step and found.step + taps - 1 + reach <= 2 * found.size


@pytest.mark.parametrize("taps", [30, 300])
@pytest.mark.parametrize("length", [40, 257, 300])
def test_is_causal_whatever_the_lengths(length, taps):
    u, k, skip = draw(1, 3, length), draw(3, taps, seed=1), draw(3, seed=2)
    before = long_conv(u, k, skip)
    scale = before.abs().max()
    for start in (1, length // 2, length - 1):
        changed = u.clone()
        changed[..., start:] += draw(1, 3, length - start, seed=3)
        after = long_conv(changed, k, skip)
        assert (after - before)[..., :start].abs().max() < 1e-6 * scale
        prefix = long_conv(u[..., :start], k, skip)
        assert (prefix - before[..., :start]).abs().max() < 1e-6 * scale


def test_is_linear_and_equivariant_to_shifts():
    length = 200
    k, skip = draw(2, length, seed=1) / 10, draw(2, seed=2)
    a, b = draw(1, 2, length, seed=3), draw(1, 2, length, seed=4)
    whole = long_conv(2 * a - 3 * b, k, skip)
    close(whole, (2 * long_conv(a, k, skip) - 3 * long_conv(b, k, skip)).double(), 4e-6)
    shifted = torch.nn.functional.pad(a, (7, 0))[..., :length]
    want = torch.nn.functional.pad(long_conv(a, k, skip), (7, 0))[..., :length]
    close(long_conv(shifted, k, skip), want.double(), 4e-6)


def test_an_impulse_gives_the_kernel_and_none_wraps_around():
    k, skip = draw(2, 50, seed=1), draw(2, seed=2)
    u = torch.zeros(1, 2, 130)
    u[..., 100] = 1
    want = torch.zeros(1, 2, 130)
    want[..., 100:] = k[:, :30]
    want[..., 100] += skip
    close(long_conv(u, k, skip), want.double())


@pytest.mark.parametrize("offset", [0, 1])
def test_symmetric_kernels_commute_with_time_reversal(offset):
    k = draw(2, 90, seed=1)
    if offset:  # lags 1, 2, ... on both sides, lag 0 once
        forward, back = k, k[:, 1:]
    else:
        forward = back = k
    u = draw(1, 2, 90)
    run = lambda x: long_conv(x, forward, None, back, reverse_offset=offset)  # noqa: E731
    close(run(u.flip(-1)), run(u).flip(-1).double(), 4e-6)


def test_an_empty_kernel_leaves_the_skip_connection_alone():
    u, skip = draw(2, 3, 100), draw(3, seed=1)
    assert torch.equal(long_conv(u, torch.zeros(3, 100), skip), u * skip[:, None])


@pytest.mark.parametrize("name", backends())
def test_gates_and_lengths_are_products_around_the_convolution(name):
    u, a, b = draw(2, 3, 75), draw(2, 3, 75, seed=1), draw(2, 3, 75, seed=2)
    k, skip, lengths = draw(2, 3, 75, seed=3) / 9, draw(2, 3, seed=4), torch.tensor([75, 20])
    x = a * u * (torch.arange(75) < lengths[:, None, None])
    want = torch.stack([b * direct(x, k[c], skip[c], None, 1) for c in range(2)], 1)
    with battery.backend(name):
        got = long_conv(u, k, skip, in_gate=a, out_gate=b, lengths=lengths)
    close(got, want, 4e-6)


def test_positions_behind_the_length_neither_count_nor_get_a_gradient():
    u = draw(2, 2, 60).requires_grad_()
    k, lengths = draw(2, 60, seed=1), torch.tensor([60, 33])
    y = long_conv(u, k, lengths=lengths)
    with torch.no_grad():
        garbage = u.clone()
        garbage[1, :, 33:] = 1e6
        assert torch.equal(long_conv(garbage, k, lengths=lengths), y)
    y.square().sum().backward()
    assert not u.grad[1, :, 33:].any() and u.grad[1, :, :33].all()


@pytest.mark.parametrize("name", backends())
@pytest.mark.parametrize("shape", [(0, 3, 5), (2, 1, 1), (1, 1, 1), (2, 0, 4)])
def test_degenerate_shapes(shape, name):
    u = draw(*shape).requires_grad_()
    k = draw(shape[1], 4, seed=1).requires_grad_()
    with battery.backend(name), battery.poisoned():
        y = long_conv(u, k, draw(shape[1], seed=2))
        y.sum().backward()
    assert y.shape == shape and u.grad.shape == shape
    assert k.grad.isfinite().all() and not k.grad[:, shape[2] :].any()


@pytest.mark.parametrize("name", backends())
@pytest.mark.parametrize("wanted", range(6))
def test_each_gradient_alone(wanted, name):
    names = ["u", "k", "D", "k_rev", "in_gate", "out_gate"]
    args = dict(u=draw(2, 3, 40), k=draw(2, 3, 40, seed=1), D=draw(2, 3, seed=2))
    args |= dict(k_rev=draw(2, 3, 9, seed=3), in_gate=draw(2, 3, 40, seed=4))
    args["out_gate"] = draw(2, 3, 40, seed=5)
    cotangent = draw(2, 2, 3, 40, seed=6)

    def gradient(dtype):
        leaves = {n: t.to(dtype).requires_grad_(i == wanted) for i, (n, t) in
                  enumerate(args.items())}  # fmt: skip
        y = long_conv(**leaves)
        return torch.autograd.grad(y, leaves[names[wanted]], cotangent.to(dtype))[0]

    with battery.backend(name):
        got = gradient(torch.float32)
    close(got, gradient(torch.float64), 4e-6)


def test_gradcheck_in_double():
    shapes = ((1, 2, 9), (2, 2, 12), (2, 2), (2, 2, 5))
    args = [draw(*shape, seed=i, dtype=torch.float64) for i, shape in enumerate(shapes)]
    for offset in (0, 1):
        assert torch.autograd.gradcheck(
            lambda *a, r=offset: long_conv(*a, reverse_offset=r), [a.requires_grad_() for a in args]
        )


@needs_kernels
def test_only_the_arguments_are_saved():
    saved = []
    u, k, gate = draw(2, 3, 256), draw(3, 256, seed=1).requires_grad_(), draw(2, 3, 256, seed=2)
    skip = draw(3, seed=3)

    def pack(tensor):
        saved.append(tensor)
        return tensor

    with saved_tensors_hooks(pack, lambda tensor: tensor), battery.backend("cpu"):
        y = long_conv(u, k, skip, out_gate=gate)
    pointers = {t.data_ptr() for t in (u, k, skip, gate)}
    assert {t.data_ptr() for t in saved} <= pointers and y.data_ptr() not in pointers


@needs_kernels
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_threads_change_nothing(dtype):
    u = draw(5, 1, 700).to(dtype)  # one channel: threads share its batch
    k = draw(1, 700, seed=1)
    found = []
    for count in (1, 2):
        with battery.threads(count):
            found.append(long_conv(u, k))
    assert torch.equal(*found)


def test_half_precision_takes_float32_kernels():
    u, k = draw(2, 3, 120), draw(3, 120, seed=1) / 11
    for dtype, tolerance in ((torch.bfloat16, 2**-8), (torch.float16, 2**-11)):
        half = u.to(dtype)
        got = long_conv(half, k)
        assert got.dtype == dtype
        close(got, direct(half, k, torch.zeros(3), None, 1), tolerance)


def test_says_which_backend_and_why():
    u, k = draw(1, 2, 8), draw(2, 8)
    name, reason = long_conv_backend(u, k)
    assert (name, reason) == ("cpu", "fits") if native() else name == "reference"
    assert long_conv_backend(u.double(), k)[0] == "reference"
    assert long_conv_backend(u, k, backend="reference") == ("reference", "forced")
    with pytest.raises(NotImplementedError, match="backend: 'cpu'"):
        long_conv(u.double(), k, backend="cpu")


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        (dict(u=torch.ones(1, 2, 5, dtype=torch.long)), TypeError, "u: got torch.int64"),
        (dict(u=[1.0]), TypeError, "u: got list"),
        (dict(u=torch.ones(2, 5)), ValueError, r"u: got shape \(2, 5\)"),
        (dict(u=torch.ones(1, 2, 0)), ValueError, "L >= 1"),
        (dict(k=torch.ones(3, 5)), ValueError, r"k: got shape \(3, 5\) for u of shape"),
        (dict(k=torch.ones(2, 0)), ValueError, "at least one tap"),
        (dict(k=torch.ones(2, 5, dtype=torch.float64)), TypeError, "k: got torch.float64"),
        (dict(D=torch.ones(3)), ValueError, r"D: got shape \(3,\), wanted \(2,\)"),
        (dict(k_rev=torch.ones(1, 2, 5)), ValueError, "k_rev: got shape"),
        (dict(reverse_offset=2), ValueError, "reverse_offset: got 2"),
        (dict(in_gate=torch.ones(1, 2, 4)), ValueError, "in_gate: got shape"),
        (dict(out_gate=torch.ones(1, 2, 5).half()), TypeError, "out_gate: got torch.float16"),
        (dict(out_gate=torch.ones(1, 1, 2, 5)), ValueError, "out_gate: got shape"),
        (dict(lengths=torch.ones(1)), TypeError, "lengths: got torch.float32"),
        (dict(lengths=torch.tensor([1, 2])), ValueError, r"lengths: got shape \(2,\)"),
        (dict(lengths=torch.tensor([6])), ValueError, r"lengths: got values from 6 to 6"),
        (dict(backend="cuda"), ValueError, "backend: got 'cuda'"),
    ],
)
def test_errors_name_the_argument(change, error, match):
    with pytest.raises(error, match=match):
        long_conv(**{"u": torch.ones(1, 2, 5), "k": torch.ones(2, 5), **change})
