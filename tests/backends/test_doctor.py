from __future__ import annotations

import json

from kernelmill import backends
from kernelmill.backends import doctor


def test_every_backend_is_reported_and_what_is_missing_has_a_price():
    facts = doctor.diagnose()
    assert [b["name"] for b in facts["backends"]] == list(backends.names())
    for backend in facts["backends"]:
        assert backend["usable"] or (backend["reason"] and backend["cost"])
    json.dumps(facts)


def test_no_compiler_is_said_with_what_to_install(monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    facts = doctor.diagnose()
    assert facts["compiler"]["version"] == ""
    found = {b["name"]: b for b in facts["backends"]}
    for name in ("cpp", "inductor"):
        assert not found[name]["usable"]
        assert "install g++" in found[name]["reason"]
    assert found["torch"]["usable"]


def test_a_broken_backend_hides_no_other(monkeypatch):
    def get(name):
        if name == "cpp":
            raise ImportError("half installed")
        return backends.get(name)

    monkeypatch.setattr(doctor, "get", get)
    found = {b["name"]: b for b in doctor.diagnose()["backends"]}
    assert "half installed" in found["cpp"]["reason"] and found["torch"]["usable"]
