"""Fused neighborhood attention: golden vectors, properties, limits, bad input."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch.nn import functional

from kernelmill.ops import attention, na1d, na2d, na3d, neighborhood_attention, operators
from kernelmill.ops.neighborhood.op import explain
from tests import goldens
from tests.ops import battery

SYSTEM = "neighborhood-attention"
CASES = [name for name in goldens.names(SYSTEM) if name.startswith("c")]
BACKENDS = battery.backends(operators()["neighborhood_attention"])
NAMES = ("query", "key", "value", "additional_keys", "additional_values")
TOLERANCE = {torch.float32: 2e-5, torch.float64: 1e-10, torch.bfloat16: 2e-2, torch.float16: 3e-3}


def arguments(name: str, dtype: torch.dtype) -> tuple[dict, dict]:
    """(tensors, window) of a golden."""
    golden, config = goldens.load(SYSTEM, name), goldens.config(SYSTEM, name)
    tensors = {k: golden[f"input/{k}"].to(dtype) for k in NAMES if f"input/{k}" in golden}
    keys = ("kernel_size", "stride", "dilation", "is_causal", "scale")
    window = {k: tuple(config[k]) if isinstance(config[k], list) else config[k] for k in keys}
    return {k: v.requires_grad_() for k, v in tensors.items()}, window


def close(got: torch.Tensor, want: torch.Tensor, tolerance: float) -> None:
    assert got.shape == want.shape
    assert (got.double() - want.double()).abs().max().item() <= tolerance


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", CASES)
def test_golden(name, backend, dtype):
    golden = goldens.load(SYSTEM, name)
    tensors, window = arguments(name, dtype)
    exact = {k: v.double() for k, v in tensors.items()}  # of the rounded inputs
    with battery.backend(backend):
        out, lse = neighborhood_attention(**tensors, **window, return_lse=True)
    if dtype in (torch.bfloat16, torch.float16):
        with battery.backend("reference"):
            want = neighborhood_attention(**exact, **window, return_lse=True)
    else:
        kind = "output64" if dtype == torch.float64 else "output"
        want = golden[f"{kind}/out"], golden[f"{kind}/lse"]
    close(out, want[0], TOLERANCE[dtype])
    close(lse, want[1], TOLERANCE[dtype])
    assert out.dtype == dtype
    assert lse.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)


@pytest.mark.parametrize("through_lse", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", CASES)
def test_golden_gradients(name, backend, dtype, through_lse):
    golden = goldens.load(SYSTEM, name)
    tensors, window = arguments(name, dtype)
    with battery.backend(backend):
        out, lse = neighborhood_attention(**tensors, **window, return_lse=True)
        loss = (out * golden["input/cotangent"].to(dtype)).sum()
        if through_lse:
            loss = loss + (lse * golden["input/lse_cotangent"].to(lse.dtype)).sum()
        loss.backward()
    prefix = "grad_with_lse" if through_lse else "grad"
    for key, tensor in tensors.items():
        close(tensor.grad, golden[f"{prefix}/{key}"], 2e-5)  # the goldens are float32


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_full_window_is_attention(backend):
    torch.manual_seed(0)
    q, k, v = (torch.randn(2, 5, 7, 3, 16) for _ in range(3))
    flat = [x.flatten(1, 2).transpose(1, 2) for x in (q, k, v)]
    want = functional.scaled_dot_product_attention(*flat).transpose(1, 2).unflatten(1, (5, 7))
    with battery.backend(backend):
        torch.testing.assert_close(na2d(q, k, v, (5, 7)), want, rtol=1e-5, atol=1e-5)


def test_causal_full_window_is_causal_attention():
    q, k, v = (torch.randn(1, 45, 2, 24) for _ in range(3))
    flat = [x.transpose(1, 2) for x in (q, k, v)]
    want = functional.scaled_dot_product_attention(*flat, is_causal=True).transpose(1, 2)
    torch.testing.assert_close(na1d(q, k, v, 45, is_causal=True), want, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(attention(q, k, v, is_causal=True), want, rtol=1e-5, atol=1e-5)


def test_attention_of_other_length_and_merging_agree_with_one_softmax():
    from kernelmill.ops import merge_attentions

    q, k, v = torch.randn(1, 9, 4, 8), torch.randn(1, 15, 2, 8), torch.randn(1, 15, 2, 8)
    parts = [
        attention(q, k[:, a:b], v[:, a:b], return_lse=True) for a, b in ((0, 9), (9, 11), (11, 15))
    ]
    out, lse = merge_attentions(*map(list, zip(*parts, strict=True)))
    want = attention(q, k, v, return_lse=True)
    torch.testing.assert_close(out, want[0], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(lse, want[1], rtol=1e-5, atol=1e-5)


def test_blocked_windows_are_blocks():
    x = torch.randn(2, 12, 8, 2, 16)
    blocks = x.reshape(2, 3, 4, 2, 4, 2, 16).permute(0, 1, 3, 5, 2, 4, 6).flatten(4, 5)
    want = functional.scaled_dot_product_attention(blocks, blocks, blocks)
    want = want.unflatten(4, (4, 4)).permute(0, 1, 4, 2, 5, 3, 6).reshape(x.shape)
    torch.testing.assert_close(na2d(x, x, x, 4, stride=4), want, rtol=1e-5, atol=1e-5)


def test_dilation_attends_within_each_residue_class():
    x, d = torch.randn(1, 23, 2, 8), 3
    got = na1d(x, x, x, 5, dilation=d)
    for g in range(d):
        part = x[:, g::d]
        torch.testing.assert_close(got[:, g::d], na1d(part, part, part, 5), rtol=1e-5, atol=1e-5)


def test_flips_commute_with_odd_windows_and_not_with_even_ones():
    x = torch.randn(1, 11, 13, 1, 8)

    def flipped(k):
        y = x.flip(1, 2)
        return na2d(y, y, y, k).flip(1, 2)

    torch.testing.assert_close(flipped((3, 5)), na2d(x, x, x, (3, 5)), rtol=1e-5, atol=1e-5)
    assert not torch.allclose(flipped((4, 5)), na2d(x, x, x, (4, 5)), atol=1e-3)


def test_axes_may_be_exchanged():
    x = torch.randn(1, 6, 9, 7, 2, 8)
    window = {"kernel_size": (3, 4, 2), "stride": (1, 2, 1), "dilation": (2, 1, 3)}
    causal = (False, True, False)
    want = na3d(x, x, x, **window, is_causal=causal)
    y = x.permute(0, 3, 1, 2, 4, 5)
    turned = {k: (v[2], v[0], v[1]) for k, v in window.items()}
    got = na3d(y, y, y, **turned, is_causal=(causal[2], causal[0], causal[1]))
    torch.testing.assert_close(got.permute(0, 2, 3, 1, 4, 5), want, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("grid", [(97,), (17, 23), (7, 11, 5)])
def test_weights_sum_to_one(grid):
    q, k = (torch.randn(2, *grid, 3, 12) for _ in range(2))
    ones = torch.ones(2, *grid, 3, 5)
    out = neighborhood_attention(q, k, ones, min(4, min(grid)), is_causal=True)
    torch.testing.assert_close(out, ones, rtol=0, atol=1e-5)


@pytest.mark.parametrize("length", [31, 64, 67, 101])
@pytest.mark.parametrize(
    ("k", "s", "d"), [(7, 1, 1), (6, 5, 2), (13, 13, 1), (10, 3, 3), (31, 1, 1)]
)
@pytest.mark.parametrize("causal", [False, True])
def test_gradients_near_the_limits_of_the_window(length, k, s, d, causal):
    """Primes, even windows, k d close to the length: against the definition in float64."""
    if k * d > length:
        pytest.skip("the window is larger than the axis")
    torch.manual_seed(length + k)
    tensors = {n: torch.randn(1, length, 2, 8).requires_grad_() for n in NAMES[:3]}
    window = {"kernel_size": k, "stride": s, "dilation": d, "is_causal": causal}
    grad = torch.randn(1, length, 2, 8)
    got = torch.autograd.grad(na1d(**tensors, **window), list(tensors.values()), grad)
    wide = {n: t.detach().double().requires_grad_() for n, t in tensors.items()}
    with battery.backend("reference"):
        out = na1d(**wide, **window)
    want = torch.autograd.grad(out, list(wide.values()), grad.double())
    for a, b in zip(got, want, strict=True):
        close(a, b, 2e-5)


def test_a_view_of_a_joint_projection_is_not_copied_wrongly():
    qkv = torch.randn(2, 9, 10, 3, 4, 8).requires_grad_()
    q, k, v = qkv.unbind(3)
    got = na2d(q, k, v, 3)
    want = na2d(*(x.contiguous() for x in (q, k, v)), 3)
    assert torch.equal(got, want)
    got.sum().backward()
    assert qkv.grad.isfinite().all()


def test_backward_is_the_same_from_run_to_run_and_for_any_number_of_threads():
    q, k, v = (torch.randn(1, 40, 24, 2, 16).requires_grad_() for _ in range(3))
    grad = torch.randn(1, 40, 24, 2, 16)
    found = []
    for count in (1, 2, 2):
        with battery.threads(count):
            found.append(torch.autograd.grad(na2d(q, k, v, 5), (q, k, v), grad))
    for other in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(found[0], other, strict=True))


def test_gradcheck_of_the_kernels():
    torch.manual_seed(0)
    shapes = [(1, 7, 6, 4, 3), (1, 7, 6, 2, 3), (1, 7, 6, 2, 2), (1, 2, 2, 3), (1, 2, 2, 2)]
    tensors = [torch.randn(*s, dtype=torch.float64).requires_grad_() for s in shapes]
    rpb = torch.randn(4, 5, 3, dtype=torch.float64).requires_grad_()

    def run(q, k, v, more_k, more_v, rpb):
        return neighborhood_attention(
            q, k, v, (3, 2), dilation=(2, 1), additional_keys=more_k, additional_values=more_v,
            rpb=rpb, return_lse=True,
        )  # fmt: skip

    assert torch.autograd.gradcheck(run, [*tensors, rpb])


def test_large_logits_and_empty_batches():
    x = 100 * torch.randn(1, 33, 1, 8)
    out, lse = na1d(x, x, x, 5, return_lse=True)
    assert out.isfinite().all() and lse.isfinite().all()
    empty = torch.empty(0, 33, 1, 8)
    assert na1d(empty, empty, empty, 5).shape == (0, 33, 1, 8)
    bad = x.clone()
    bad[0, 0] = float("nan")
    out = na1d(bad, bad, x, 5)  # a NaN that is masked goes nowhere
    assert out[0, :3].isnan().all() and out[0, 8:].isfinite().all()


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux' /proc")
def test_memory_is_linear_in_the_length():
    """A mask of N x N would take 4 GB here, the weights 133 MB; inputs and gradients 4 MB each."""
    x = torch.randn(1, 65536, 1, 16).requires_grad_()
    peak = battery.peak_kilobytes(lambda: na1d(x, x, x, 509, stride=16).sum().backward())
    assert peak < 64 * 1024


def x4(*grid, heads=2, width=8):
    return torch.zeros(1, *grid, heads, width)


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        ({"kernel_size": 9}, ValueError, "9 . 1 = 9 on axis 0, which has only 8"),
        ({"kernel_size": 3, "dilation": 3}, ValueError, "3 . 3 = 9"),
        ({"stride": 4}, ValueError, "stride: got 4"),
        ({"kernel_size": 0}, ValueError, "kernel_size: got 0"),
        ({"stride": 0}, ValueError, "stride: got 0"),
        ({"dilation": 0}, ValueError, "dilation: got 0"),
        ({"kernel_size": (3, 3)}, ValueError, "2 entries for 1 axes"),
        ({"kernel_size": True}, ValueError, "kernel_size: got True"),
        ({"kernel_size": 3.0}, ValueError, "kernel_size: got 3.0"),
        ({"is_causal": 1}, ValueError, "is_causal: got 1"),
        ({"scale": "x"}, ValueError, "scale: got 'x'"),
        ({"key": x4(7)}, ValueError, "key: got shape"),
        ({"key": x4(8, heads=3), "value": x4(8, heads=3)}, ValueError, "got 3 heads for 2"),
        ({"value": x4(8, heads=1)}, ValueError, "value: got 1 heads"),
        ({"key": x4(8, width=4)}, ValueError, "got 4 channels"),
        ({"key": x4(8).double()}, ValueError, "float64"),
        ({"query": x4(8).long()}, TypeError, "query: got torch.int64"),
        ({"query": x4(8).to_sparse()}, NotImplementedError, "sparse"),
        ({"query": torch.zeros(1, 8, 2)}, ValueError, "query: got shape"),
        ({"additional_keys": torch.zeros(1, 2, 2, 8)}, ValueError, "additional_values: got None"),
        ({"rpb": torch.zeros(2, 4)}, ValueError, r"rpb: got shape \(2, 4\), wanted \(2, 5\)"),
        ({"rpb": torch.zeros(2, 5), "is_causal": True}, ValueError, "causal"),
        ({"backend": "magic"}, ValueError, "backend: got 'magic'"),
        ({"surprise": 1}, TypeError, "surprise"),
    ],
)
def test_bad_input(change, error, text):
    args = {"query": x4(8), "key": x4(8), "value": x4(8), "kernel_size": 3} | change
    with pytest.raises(error, match=text):
        neighborhood_attention(**args)


def test_hints_and_names_of_natten_are_taken():
    x = torch.randn(1, 8, 2, 8)
    want = na1d(x, x, x, 3)
    got = na1d(x, x, x, 3, backend="cutlass-fna", q_tile_shape=(64,), kv_tile_shape=(64,))
    assert torch.equal(got, want)


def test_explain_says_what_would_run():
    x = torch.randn(1, 12, 12, 2, 8)
    found = explain(x, x, x, 5)
    assert found["backend"] in ("cpu", "reference") and "reason" in found
    assert found["flops"] == 4 * 144 * 25 * 2 * 8
    assert explain(x, x, x, 5, backend="reference")["backend"] == "reference"


@pytest.mark.parametrize("backend", ["dense", "reference", "unfused"])
def test_named_backends_agree(backend):
    x = torch.randn(1, 9, 8, 2, 8)
    want = na2d(x, x, x, (3, 4), dilation=(1, 2), return_lse=True)
    got = na2d(x, x, x, (3, 4), dilation=(1, 2), return_lse=True, backend=backend)
    for a, b in zip(got, want, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)


def test_fake_tensors_leave_nothing_behind():
    from torch._subclasses import FakeTensorMode

    with FakeTensorMode():
        x = torch.rand(1, 9, 11, 2, 16)
        assert na2d(x, x, x, 3, backend="reference").shape == x.shape
    x = torch.rand(1, 9, 11, 2, 16)
    na2d(x, x, x, 3)
    with FakeTensorMode():
        x = torch.rand(1, 9, 11, 2, 16)
        assert na2d(x, x, x, 3, backend="reference").shape == x.shape
