from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

import kernelmill.backends
from kernelmill import backends
from kernelmill.backends import registry

INTERFACE = ("available", "build", "synchronize", "environment")
FILE = """
from kernelmill.backends.base import Availability

class Abacus:
    name = "abacus"
    brings_kernel = True
    device = "cpu"
    def available(self):
        return Availability(False, "no beads: apt install beads")

BACKEND = Abacus()
"""


@pytest.fixture
def fresh_registry():
    def forget():
        registry._own.cache_clear()
        registry._entries.cache_clear()
        registry.get.cache_clear()

    forget()
    yield
    forget()
    sys.modules.pop("kernelmill.backends.abacus", None)


@pytest.mark.parametrize("name", backends.names())
def test_every_backend_has_the_whole_interface(name):
    backend = backends.get(name)
    assert backend.name == name
    assert backend.device in ("cpu", "cuda", "npu")
    assert isinstance(backend.brings_kernel, bool)
    assert all(callable(getattr(backend, method)) for method in INTERFACE)
    found = backend.available()
    assert found.usable or found.reason, "a backend that cannot be used says why"
    assert all(isinstance(v, str) for kv in backend.environment().items() for v in kv)


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(ValueError, match="'fortran'.*cpp, cuda, inductor, .*torch, triton"):
        backends.get("fortran")


def test_a_further_backend_is_one_file(tmp_path, monkeypatch, fresh_registry):
    (tmp_path / "abacus.py").write_text(FILE)
    monkeypatch.setattr(
        kernelmill.backends, "__path__", [*kernelmill.backends.__path__, str(tmp_path)]
    )
    assert "abacus" in backends.names()
    assert backends.get("abacus").available().reason.startswith("no beads")


def test_a_further_backend_is_one_entry_point(monkeypatch, fresh_registry):
    entry = SimpleNamespace(
        name="slide", value="rules:slide", load=lambda: SimpleNamespace(name="slide")
    )
    broken = SimpleNamespace(name="broken", value="no:where", load=lambda: 1 / 0)
    monkeypatch.setattr(registry, "entry_points", lambda group: [entry, broken])
    assert {"slide", "broken"} <= set(backends.names())
    assert backends.get("slide").name == "slide"
    with pytest.raises(ValueError, match="broken.*does not import"):
        backends.get("broken")


def test_no_backend_knows_another():
    """Adding or removing one must not touch the rest (cuda shares the forms of C++ text)."""
    folder = Path(kernelmill.backends.__file__).parent
    for name in ("torch", "inductor", "triton", "cpp"):
        text = (folder / f"{name}.py").read_text()
        for other in backends.names():
            assert f"kernelmill.backends.{other} import" not in text
