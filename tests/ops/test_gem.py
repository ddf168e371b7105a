"""Generalised-mean pooling: golden vectors, properties, limits, bad input."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kernelmill.ops import gem, operators
from tests import goldens
from tests.ops import battery

BACKENDS = battery.backends(operators()["gem"])
TOLERANCE = {torch.float64: 1e-9, torch.float32: 2e-5, torch.bfloat16: 2e-2}


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", goldens.names("ggem"))
def test_golden(name, backend, dtype):
    golden = goldens.load("ggem", name)
    wide = torch.promote_types(dtype, torch.float32)
    x = golden["input/tokens"].to(dtype).requires_grad_()
    p = golden["state/p"].to(wide, copy=True).requires_grad_()
    x = x.detach().clone().requires_grad_()
    mask = golden["input/mask"].bool() if "input/mask" in golden else None
    with battery.backend(backend):
        y = gem(x, p, groups=p.numel(), mask=mask)
        y.backward(golden["cotangent/pooled"].to(dtype))
    tolerance = 1e-4 if (name, dtype) == ("large_p_overflow", torch.float32) else TOLERANCE[dtype]
    found = {"output/pooled": y, "grad/tokens": x.grad, "grad/p": p.grad}
    for key, value in found.items():
        assert value.isfinite().all()
        error = (value.double() - golden[key]).abs().max() / golden[key].abs().max()
        assert error <= tolerance, f"{key}: {error:.3g}"


# ---- properties -------------------------------------------------------------------------------

TOKENS = st.tuples(st.integers(1, 3), st.integers(1, 50), st.sampled_from([1, 4, 12, 33]))


def positive(shape, seed, low=0.05):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(shape, generator=generator) * 3 + low


@settings(max_examples=25, deadline=None)
@given(shape=TOKENS, p=st.floats(-6, 8), seed=st.integers(0, 99))
def test_tokens_may_be_permuted_and_scaled(shape, p, seed):
    x = positive(shape, seed)
    y = gem(x, p)
    order = torch.randperm(shape[1], generator=torch.Generator().manual_seed(seed))
    torch.testing.assert_close(gem(x[:, order], p), y, rtol=2e-5, atol=0)
    torch.testing.assert_close(gem(4 * x, p), 4 * y, rtol=2e-5, atol=0)


@settings(max_examples=25, deadline=None)
@given(shape=TOKENS, p=st.floats(-5, 6), step=st.floats(0.1, 3), seed=st.integers(0, 99))
def test_grows_with_p(shape, p, step, seed):
    x = positive(shape, seed)
    assert (gem(x, p + step) >= gem(x, p) * (1 - 1e-6)).all()


@pytest.mark.parametrize("p", [1.0, 2.0, 3.0, 1.7, -1.0])
def test_value_is_the_direct_expression(p):
    x = torch.randn(2, 21, 40)
    z = x.double().clamp(min=1e-6)
    want = z.pow(p).mean(1).pow(1 / p)
    torch.testing.assert_close(gem(x, p).double(), want, rtol=2e-5, atol=0)
    torch.testing.assert_close(gem(x, torch.tensor(p)).double(), want, rtol=2e-5, atol=0)


def test_large_p_is_near_the_maximum_and_large_negative_p_near_the_minimum():
    x = positive((2, 50, 16), 1)
    torch.testing.assert_close(gem(x, 200.0), x.amax(1), rtol=0.03, atol=0)
    torch.testing.assert_close(gem(x, -200.0), x.amin(1), rtol=0.03, atol=0)


def test_p_zero_is_the_geometric_mean_and_p_has_its_gradient_there():
    x = positive((2, 30, 8), 2)
    p = torch.zeros(1, requires_grad=True)
    y = gem(x, p)
    t = x.double().log()
    want = t.mean(1).exp()
    torch.testing.assert_close(y.double(), want, rtol=1e-5, atol=0)
    y.sum().backward()
    slope = (want * t.var(1, unbiased=False) / 2).sum()
    torch.testing.assert_close(p.grad.double()[0], slope, rtol=1e-4, atol=0)


@pytest.mark.parametrize("backend", BACKENDS)
def test_continuous_where_the_formulas_change(backend):
    """Values and slopes on both sides of every threshold in |p|."""
    x = positive((1, 64, 16), 3, low=0.001)
    for edge in (1e-4, 2e-3, 0.1):
        for sign in (1, -1):
            found = []
            for factor in (0.999, 1.001):
                p = torch.tensor([sign * edge * factor], requires_grad=True)
                with battery.backend(backend):
                    y = gem(x, p)
                y.sum().backward()
                found.append((y.detach(), p.grad))
            torch.testing.assert_close(found[0][0], found[1][0], rtol=5e-4, atol=0)
            torch.testing.assert_close(found[0][1], found[1][1], rtol=5e-4, atol=0)


def test_mask_equals_removal():
    x = torch.randn(1, 20, 12)
    mask = torch.rand(1, 20) > 0.4
    p = torch.tensor([2.0, 3.5, -1.0])
    torch.testing.assert_close(gem(x, p, 3, mask=mask), gem(x[:, mask[0]], p, 3))


def test_groups_are_contiguous_blocks():
    x = positive((2, 9, 12), 4)
    p = torch.tensor([1.0, 2.0, 3.0])
    parts = [gem(x[..., 4 * g : 4 * g + 4].contiguous(), p[g]) for g in range(3)]
    torch.testing.assert_close(gem(x, p, 3), torch.cat(parts, 1))


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("mask", [False, True])
def test_feature_maps_equal_tokens(memory_format, mask):
    x = torch.randn(2, 24, 5, 7).contiguous(memory_format=memory_format)
    keep = (torch.rand(2, 5, 7) > 0.3) if mask else None
    p = torch.tensor([2.0, 4.0])
    tokens = x.flatten(2).transpose(1, 2).contiguous()
    want = gem(tokens, p, 2, mask=None if keep is None else keep.flatten(1))
    torch.testing.assert_close(gem(x, p, 2, mask=keep), want, rtol=2e-6, atol=2e-6)
    nhwc = x.permute(0, 2, 3, 1)
    torch.testing.assert_close(gem(nhwc, p, 2, mask=keep, dim=(1, 2)), want, rtol=2e-6, atol=2e-6)


def test_sliced_tokens_are_pooled_in_place():
    """The usual call drops the class token: strides without a copy."""
    x = torch.randn(2, 10, 16, requires_grad=True)
    gem(x[:, 1:], 3.0).sum().backward()
    again = x.detach()[:, 1:].clone().requires_grad_()
    gem(again, 3.0).sum().backward()
    torch.testing.assert_close(x.grad[:, 1:], again.grad)
    assert not x.grad[:, 0].any()


def test_negative_treatments():
    x = torch.randn(2, 15, 6)
    torch.testing.assert_close(gem(x, 2.5, negative="abs"), gem(x.abs(), 2.5))
    torch.testing.assert_close(gem(-x, 2.5, negative="signed"), -gem(x, 2.5, negative="signed"))
    positive_x = x.abs() + 0.1
    torch.testing.assert_close(gem(positive_x, 2.5, negative="signed"), gem(positive_x, 2.5))
    torch.testing.assert_close(
        gem(x + 5, 2.5, negative="shift"), gem(x, 2.5, negative="shift") + 5, rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_half_inputs_stay_finite(dtype):
    x = torch.full((1, 5, 4), 6e4).to(dtype).requires_grad_()
    y = gem(x, torch.tensor(8.0))
    torch.testing.assert_close(y, x.detach()[:, 0], rtol=1e-2, atol=0)
    y.sum().backward()
    assert x.grad.isfinite().all()


@pytest.mark.parametrize("backend", BACKENDS)
def test_inf_and_nan(backend):
    x = torch.ones(1, 20, 4)
    x[0, 1, 0], x[0, 2, 1], x[0, 3, 2] = math.inf, math.nan, -math.inf
    for layout in (x, x.transpose(1, 2).contiguous().transpose(1, 2)):
        with battery.backend(backend):
            up, down = gem(layout, 2.0), gem(layout, torch.tensor(-2.0))
        assert up[0, 0] == math.inf and up[0, 1].isnan() and up[0, 2] < 1 and up[0, 3] == 1
        assert 1 < down[0, 0] < 1.1 and down[0, 1].isnan() and down[0, 3] == 1


def test_a_fixed_integer_exponent_leaves_its_path_when_it_overflows():
    x = torch.full((1, 8, 20), 1e20)
    torch.testing.assert_close(gem(x, 3.0), x[:, 0], rtol=1e-5, atol=0)
    maps = torch.full((1, 20, 2, 4), 1e-15)
    torch.testing.assert_close(gem(maps, 3.0, eps=1e-20), maps[:, :, 0, 0], rtol=1e-5, atol=0)


def test_long_sums_stay_exact():
    x = torch.rand(1, 200_000, 16) + 0.5
    want = x.double().pow(3).mean(1).pow(1 / 3)
    for view in (x, x.transpose(1, 2).contiguous().transpose(1, 2)):
        torch.testing.assert_close(gem(view, torch.tensor(3.0)).double(), want, rtol=2e-6, atol=0)


# ---- bad input --------------------------------------------------------------------------------

X = torch.ones(2, 3, 8)
BAD = {
    "groups: got 3 for 8 channels": dict(x=X, p=1.0, groups=3),
    "groups: got 0": dict(x=X, p=1.0, groups=0),
    "x: got shape (2, 3)": dict(x=X[:, :, 0], p=1.0),
    "x: got shape (2, 0, 8), with no position": dict(x=X[:, :0], p=1.0),
    "eps: got 0": dict(x=X, p=1.0, eps=0),
    "eps: got -1": dict(x=X, p=1.0, eps=-1),
    "eps: got nan": dict(x=X, p=1.0, eps=math.nan),
    "p: got nan": dict(x=X, p=math.nan),
    "p: got [inf, 1.0], wanted finite": dict(x=X, p=torch.tensor([math.inf, 1.0]), groups=2),
    "p: got shape (3,)": dict(x=X, p=torch.ones(3), groups=2),
    "p: got -1.0, wanted a finite number above 0": dict(x=X, p=-1.0, negative="signed"),
    "exponents above 0": dict(x=X, p=torch.tensor([-1.0]), negative="signed"),
    "negative: got 'drop'": dict(x=X, p=1.0, negative="drop"),
    "mask: got shape (2, 4)": dict(x=X, p=1.0, mask=torch.ones(2, 4, dtype=torch.bool)),
    "mask: rows [1] keep no position": dict(
        x=X, p=1.0, mask=torch.tensor([[True] * 3, [False] * 3])
    ),
    "dim: got 0": dict(x=X, p=1.0, dim=0),
    "dim: got (1,) for x of shape (2, 3, 4, 2)": dict(x=X.view(2, 3, 4, 2), p=1.0, dim=(1,)),
}


@pytest.mark.parametrize("backend", ["reference", *BACKENDS[1:2]])
@pytest.mark.parametrize("message", BAD)
def test_bad_values(message, backend):
    with battery.backend(backend), pytest.raises(ValueError) as caught:
        gem(**BAD[message])
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("x", dict(x=torch.ones(1, 2, 3, dtype=torch.int64), p=1.0)),
        ("x", dict(x=[[1.0]], p=1.0)),
        ("p", dict(x=X, p=torch.ones(1, dtype=torch.int64))),
        ("mask", dict(x=X, p=1.0, mask=torch.ones(2, 3))),
    ],
)
def test_bad_types(name, fields):
    with pytest.raises(TypeError, match=f"^{name}: got "):
        gem(**fields)
