"""The element-wise functions against float64: a few units in the last place, special values."""

from __future__ import annotations

import ctypes
import math

import numpy as np
import pytest
import torch

from kernelmill.backends.native import compile_cpp
from kernelmill.search.codegen.mathlib import HEADER
from kernelmill.search.codegen.schedule import Schedule

FUNCTIONS = "exp expm1 exp2 log log1p log2 log10 sigmoid tanh erf sin cos".split()
POSITIVE = ("log", "log1p", "log2", "log10")
POWERS = (3.3, -1.5, 2.0, 3.0, 0.0, 0.7)
ULPS = 2.5


@pytest.fixture(scope="module")
def library() -> ctypes.CDLL:
    body = "".join(
        f'extern "C" void f_{f}(const float* __restrict x, float* __restrict o, int64_t n) {{\n'
        f"#pragma omp simd\nfor (int64_t i = 0; i < n; ++i) o[i] = km_{f}(x[i]); }}\n"
        for f in FUNCTIONS
    )
    body += (
        'extern "C" void f_pow(const float* __restrict x, float* __restrict o, int64_t n,'
        " float y) {\n#pragma omp simd\nfor (int64_t i = 0; i < n; ++i) o[i] = km_pow(x[i], y); }\n"
    )
    return compile_cpp(HEADER + body, flags=Schedule().flags(), name="mathlib")


def call(library, name, x, *more):
    out = torch.empty_like(x)
    function = getattr(library, f"f_{name}")
    function(
        ctypes.c_void_p(x.data_ptr()),
        ctypes.c_void_p(out.data_ptr()),
        ctypes.c_int64(x.numel()),
        *map(ctypes.c_float, more),
    )
    return out


def ulps(found: torch.Tensor, exact: torch.Tensor) -> float:
    unit = torch.from_numpy(np.spacing(np.abs(exact.float().numpy()))).double()
    usual = torch.isfinite(exact.float()) & (exact.abs() > 1e-37)
    return float(((found.double() - exact).abs() / unit)[usual].max())


@pytest.mark.parametrize("name", FUNCTIONS)
def test_error_in_the_last_place(library, name):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(20011, generator=generator)
    x = torch.cat([x, x * 20, x * 1e-3, x.sign() * x.abs() ** 30])
    if name in POSITIVE:
        x = x.abs()
    if name in ("sin", "cos"):
        x = x.clamp(-1e9, 1e9)
    exact = getattr(torch, name)(x.double())
    assert ulps(call(library, name, x), exact) <= ULPS


@pytest.mark.parametrize("name", FUNCTIONS)
def test_special_values(library, name):
    x = torch.tensor([0.0, -0.0, math.inf, -math.inf, math.nan, 1e-40, -1e-40, 3e38, -3e38, 1, -1])
    if name in ("sin", "cos"):
        x = x.clamp(-1e9, 1e9)
    exact = getattr(torch, name)(x.double()).float()
    found = call(library, name, x)
    assert torch.allclose(found, exact, rtol=3e-7, atol=0, equal_nan=True), (found, exact)


@pytest.mark.parametrize("power", POWERS)
def test_power(library, power):
    x = torch.randn(4001, generator=torch.Generator().manual_seed(0)) * 3
    x = torch.cat([x, torch.tensor([0.0, -0.0, math.inf, -math.inf, math.nan, 1.0, -1.0, 1e-40])])
    exact = x.double().pow(float(np.float32(power)))
    found = call(library, "pow", x, power)
    special = ~torch.isfinite(exact.float())
    assert torch.equal(found[special].isnan(), exact[special].isnan())
    usual = ~exact.isnan()
    assert torch.equal(found[usual].isinf(), exact.float()[usual].isinf())
    assert ulps(found[usual], exact[usual]) <= ULPS
