from __future__ import annotations

import pytest
import torch

from kernelmill import backends
from kernelmill.backends import BuildError, BuildSpec, TensorSpec
from kernelmill.backends.c_abi import infer_shapes
from kernelmill.backends.cpp import form_of

SIGNATURE = 'extern "C" int forward(const km_tensor* in, int n_in, km_tensor* out, int n_out)'
AFFINE = f"""
#include "kernelmill.h"
{SIGNATURE} {{
    if (n_in != 3 || n_out != 1) return 7;
    const float *x = (const float*)in[0].data, *w = (const float*)in[1].data;
    const float *b = (const float*)in[2].data;
    float* y = (float*)out[0].data;
    int64_t n = in[0].sizes[1];
    for (int64_t i = 0; i < km_numel(&in[0]); i++) y[i] = x[i] * w[i % n] + b[i % n];
    return 0;
}}
"""
SPEC = BuildSpec(
    state=(TensorSpec("norm.weight", (5,), "float32"), TensorSpec("norm.bias", (5,), "float32")),
    parameters=("norm.weight",),
    inputs=(TensorSpec("x", (4, 5), "float32"),),
    outputs=(TensorSpec("y", (4, 5), "float32"),),
)


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    for name in ("KERNELMILL_CACHE", "TORCH_EXTENSIONS_DIR", "MAX_JOBS", "PATH"):
        monkeypatch.setenv(name, __import__("os").environ.get(name, "2"))


def build(source, tmp_path, spec=SPEC):
    return backends.get("cpp").build(source, tmp_path, spec)


def test_inputs_then_state_and_the_state_can_be_loaded(tmp_path):
    model = build(AFFINE, tmp_path)("anything", size=3)
    state = {"norm.weight": torch.randn(5), "norm.bias": torch.randn(5)}
    assert list(model.state_dict()) == list(state)
    assert [name for name, _ in model.named_parameters()] == ["norm.weight"]
    model.load_state_dict(state)
    x = torch.randn(4, 5)
    want = x * state["norm.weight"] + state["norm.bias"]
    assert torch.allclose(model(x), want, rtol=1e-6, atol=1e-6)
    with torch.no_grad():
        model.norm.weight.zero_()
    assert torch.equal(model(x), state["norm.bias"].expand(4, 5))


def test_other_sizes_and_layouts(tmp_path):
    model = build(AFFINE, tmp_path)()
    model.load_state_dict({"norm.weight": torch.arange(5.0), "norm.bias": torch.ones(5)})
    for x in (
        torch.randn(9, 5),
        torch.randn(5, 9).t(),
        torch.randn(0, 5),
        torch.randn(8, 10)[::2, ::2],
    ):
        want = x * torch.arange(5.0) + 1
        got = model(x)
        assert got.shape == want.shape and torch.allclose(got, want, rtol=1e-6, atol=1e-6)


def test_strided_sources_see_strides(tmp_path):
    source = f"""
#include "kernelmill.h"
extern "C" int strided(void) {{ return 1; }}
{SIGNATURE} {{
    ((int64_t*)out[0].data)[0] = in[0].strides[0];
    return 0;
}}
"""
    spec = BuildSpec(
        inputs=(TensorSpec("x", (4, 5), "float32"),), outputs=(TensorSpec("", (), "int64"),)
    )
    assert build(source, tmp_path, spec)()(torch.randn(5, 4).t()).item() == 1


def test_output_shapes_numbers_none_and_several_outputs(tmp_path):
    source = f"""
#include "kernelmill.h"
extern "C" int output_shapes(const km_tensor* in, int n_in, km_tensor* out, int n_out) {{
    out[0].ndim = 1;
    out[0].sizes[0] = in[0].sizes[0] * 2;
    return 0;
}}
{SIGNATURE} {{
    if (n_in != 5 || in[4].ndim != -1) return 1;
    if (in[1].dtype != KM_INT64 || in[2].dtype != KM_FLOAT64 || in[3].dtype != KM_BOOL) return 2;
    for (int64_t i = 0; i < km_numel(&out[0]); i++)
        ((float*)out[0].data)[i] = *(int64_t*)in[1].data + *(double*)in[2].data;
    *(bool*)out[1].data = *(bool*)in[3].data;
    return 0;
}}
"""
    spec = BuildSpec(
        inputs=(TensorSpec("x", (3,), "float32"),),
        outputs=(TensorSpec("a", (6,), "float32"), TensorSpec("b", (), "bool")),
        output_structure="tuple",
    )
    a, b = build(source, tmp_path, spec)()(torch.ones(4), 3, [0.5, True], None)
    assert torch.equal(a, torch.full((8,), 3.5)) and b.dtype == torch.bool and b.item()


def test_a_return_code_is_an_error(tmp_path):
    model = build(f'#include "kernelmill.h"\n{SIGNATURE} {{ return 3; }}', tmp_path)()
    with pytest.raises(RuntimeError, match="forward returned 3"):
        model(torch.ones(4, 5))


def test_missing_forward_and_compiler_errors(tmp_path):
    with pytest.raises(BuildError, match="exports no function forward.*wanted"):
        build('extern "C" int backward() { return 0; }', tmp_path)
    broken = AFFINE.replace("return 7", "return undeclared")
    with pytest.raises(BuildError, match="undeclared") as caught:
        build(broken, tmp_path)
    assert caught.value.line == 4  # of the candidate, not of what was put in front


def test_too_many_dimensions(tmp_path):
    spec = BuildSpec(outputs=(TensorSpec("y", (1,) * 9, "float32"),))
    with pytest.raises(BuildError, match="9 dimensions; 8 at most"):
        build(AFFINE, tmp_path, spec)


def test_shapes_are_inferred_or_refused():
    weight = TensorSpec("w", (16, 32), "float32")
    x, y = TensorSpec("x", (8, 32), "float32"), TensorSpec("y", (8, 16), "float32")
    spec = BuildSpec(state=(weight,), inputs=(x,), outputs=(y,))
    assert infer_shapes(spec, [(8, 32)]) == [(8, 16)]
    assert infer_shapes(spec, [(3, 32)]) == [(3, 16)]
    square = BuildSpec(inputs=(TensorSpec("x", (8, 8), "float32"),), outputs=(y,))
    with pytest.raises(RuntimeError, match=r"dimension of 8 .* any of \[3, 5\].*output_shapes"):
        infer_shapes(square, [(3, 5)])
    with pytest.raises(RuntimeError, match="other ranks"):
        infer_shapes(spec, [(3, 4, 32)])


@pytest.mark.parametrize(
    "source, form",
    [
        (AFFINE, "c"),
        ("PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) {}", "pybind"),
        ("import torch\nclass ModelNew(torch.nn.Module):\n    pass\n", "python"),
        ("import torch\nclass ModelNew(torch.nn.Module):\n    pass pass\n", "python"),
        ("class ModelNew { int x; };\n", "c"),
    ],
)
def test_forms_of_source(source, form):
    assert form_of(source) == form


def test_without_known_inputs_the_first_call_is_the_default(tmp_path):
    source = f"""
#include "kernelmill.h"
{SIGNATURE} {{
    for (int64_t i = 0; i < km_numel(&out[0]); i++) ((float*)out[0].data)[i] = 1;
    return 0;
}}
"""
    spec = BuildSpec(outputs=(TensorSpec("y", (4, 5), "float32"),))
    model = build(source, tmp_path, spec)()
    assert model(torch.ones(4, 5)).shape == (4, 5)
    assert model(torch.ones(7, 5)).shape == (7, 5)
