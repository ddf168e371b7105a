"""Sources with torch's headers: one compilation takes half a minute."""

from __future__ import annotations

import shutil

import pytest
import torch

from kernelmill import backends
from kernelmill.backends import BuildError, BuildSpec, TensorSpec
from kernelmill.backends.extension import error_line, errors_of, has_ninja, make_model

SOURCE = """
#include <torch/extension.h>
torch::Tensor forward(torch::Tensor x, torch::Tensor w, double scale) { return x * w * scale; }
PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) { m.def("forward", &forward, "documented"); }
"""
SPEC = BuildSpec(
    state=(TensorSpec("w", (3,), "float32"), TensorSpec("steps", (), "int64")),
    parameters=("w",),
)


@pytest.mark.slow
@pytest.mark.skipif(not (shutil.which("g++") and has_ninja()), reason="needs g++ and ninja")
def test_a_pybind_module_gets_inputs_parameters_and_constructor_arguments(tmp_path, monkeypatch):
    for name in ("KERNELMILL_CACHE", "TORCH_EXTENSIONS_DIR"):
        monkeypatch.setenv(name, "")
    model = backends.get("cpp").build(SOURCE, tmp_path, SPEC)(2.0)
    model.load_state_dict({"w": torch.tensor([1.0, 2.0, 3.0]), "steps": torch.tensor(4)})
    assert torch.equal(model(torch.ones(2, 3)), torch.tensor([[2.0, 4.0, 6.0]] * 2))


def module(signature):
    def forward(*arguments):
        return arguments

    forward.__doc__ = signature
    return type("Module", (), {"forward": staticmethod(forward)})


@pytest.mark.parametrize(
    "signature, wanted",
    [
        ("forward(arg0: torch.Tensor) -> torch.Tensor", "x"),
        ("forward(arg0: torch.Tensor, arg1: torch.Tensor) -> torch.Tensor\n\ntext, text", "xw"),
        ("forward(arg0: at::Tensor, arg1: Tensor, arg2: Tensor) -> tuple[int, int]", "xws"),
        ("forward(a: Tensor, b: Tensor, c: typing.SupportsFloat) -> Tensor", "xwc"),
        ("forward(a: Tensor, b: dict[str, int]) -> Tensor", "xc"),
        ("forward(a: Tensor, b: Tensor, c: Tensor, d: float) -> Tensor", "xwsc"),
    ],
)
def test_the_arguments_that_the_function_asks_for(signature, wanted):
    model = make_model(module(signature), SPEC)(0.5)
    x = torch.ones(1)
    known = {"x": x, "w": model.w, "s": model.steps, "c": 0.5}
    got = model(x)
    assert len(got) == len(wanted)
    assert all(value is known[letter] for value, letter in zip(got, wanted, strict=True))


def test_a_wrong_number_of_arguments_says_what_there_is():
    model = make_model(module("forward(a: T, b: T, c: T, d: T, e: T, f: T) -> T"), SPEC)()
    with pytest.raises(TypeError, match="takes 6 arguments .*; there are 1 inputs, 1 parameters"):
        model(torch.ones(1))


def test_a_module_without_forward():
    with pytest.raises(BuildError, match=r'm.def\("forward"'):
        make_model(object(), SPEC)


def test_the_line_of_a_compilers_error():
    log = "c++ -O3 ...\n/tmp/x/candidate.cpp:12:67: error: 'q' was not declared\n more"
    assert error_line(log) == 12
    assert errors_of(log).startswith("/tmp/x/candidate.cpp:12")
    assert error_line("candidate.cu(7): error: identifier") == 7
    assert error_line("all is well") is None
