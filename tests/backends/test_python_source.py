from __future__ import annotations

import inspect
import pickle

import pytest
import torch

from kernelmill import backends
from kernelmill.backends import BuildError, BuildSpec

SOURCE = """
import torch
import torch.nn as nn

class ModelNew(nn.Module):
    def __init__(self, scale):
        super().__init__()
        self.scale = scale

    def forward(self, x):
        return x * self.scale
"""


def build(source, tmp_path, backend="torch"):
    return backends.get(backend).build(source, tmp_path, BuildSpec())


def test_the_class_computes_and_its_source_can_be_read(tmp_path):
    cls = build(SOURCE, tmp_path)
    x = torch.arange(3.0)
    assert torch.equal(cls(2.0)(x), 2 * x)
    assert "return x * self.scale" in inspect.getsource(cls.forward)
    assert cls.__module__.startswith("kernel_")  # nothing about tests or candidates


def test_two_sources_do_not_share_names(tmp_path):
    first = build(SOURCE, tmp_path)
    second = build(SOURCE.replace("x * self", "x + self"), tmp_path)
    assert first(2.0)(torch.ones(1)) == 2 and second(2.0)(torch.ones(1)) == 3


@pytest.mark.parametrize(
    "source, line, words",
    [
        ("x = 1\nclass ModelNew(:\n", 2, "syntax error"),
        ("x = 1\n\nimport nothing_of_this_name\n", 3, "ModuleNotFoundError"),
        ("def f():\n    raise KeyError('k')\n\nf()\n", 2, "KeyError"),
        ("import sys\nsys.exit(0)\n", 2, "SystemExit"),
        ("a = 0\x00", None, "syntax error"),
        ("x = 1\n", None, "no class ModelNew"),
        ("ModelNew = 3\n", None, "must be a class"),
        ("class ModelNew: pass\n", None, "derived from torch.nn.Module"),
    ],
)
def test_what_does_not_build_names_the_line(source, line, words, tmp_path):
    with pytest.raises(BuildError, match=words) as caught:
        build(source, tmp_path)
    assert caught.value.line == line
    if line:
        assert str(caught.value).startswith(f"line {line}: ")
    assert pickle.loads(pickle.dumps(caught.value)).line == line


def test_long_messages_keep_both_ends(tmp_path):
    source = "raise ValueError('start' + 'x' * 100_000 + 'end')"
    with pytest.raises(BuildError) as caught:
        build(source, tmp_path)
    text = str(caught.value)
    assert len(text) < 8000 and "start" in text and text.endswith("end")


def test_inductor_compiles_into_the_folder_it_is_given(tmp_path, monkeypatch):
    for name in ("TORCHINDUCTOR_CACHE_DIR", "TORCHINDUCTOR_COMPILE_THREADS"):
        monkeypatch.setenv(name, "")  # build sets them; put back afterwards
    source = SOURCE + "\n_run = torch.compile(lambda x: torch.sin(x) * 2 + 1)\n"
    source = source.replace("return x * self.scale", "return _run(x)")
    model = build(source, tmp_path, "inductor")(1.0)
    x = torch.linspace(-1, 1, 64)
    with torch.no_grad():
        assert torch.allclose(model(x), x.sin() * 2 + 1, rtol=1e-6, atol=1e-6)
    assert list((tmp_path / "inductor-cache").rglob("*.so")), "compiled somewhere else"
