"""The native library: found or not, chosen instruction set, lazy loading, discovery."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import types

import pytest
import torch

import kernelmill.ops
from kernelmill.ops import gem, native_status, operators, use_backend
from kernelmill.ops.native import native, use_isa


def python(code: str, **environment: str) -> str:
    run = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return run.stdout


def test_without_the_library_everything_works_and_says_so():
    out = python(
        "import json, logging, torch; logging.basicConfig(level='DEBUG')\n"
        "from kernelmill.ops import gem, native_status, operators\n"
        "s = native_status(); y = gem(torch.full((1, 3, 4), 2.0), torch.tensor(3.0))\n"
        "print(json.dumps([s.available, s.reason, y.tolist(), list(operators())]))",
        KERNELMILL_NATIVE="0",
    )
    available, reason, y, names = json.loads(out)
    assert not available and "KERNELMILL_NATIVE=0" in reason and "gem" in names
    torch.testing.assert_close(torch.tensor(y), torch.full((1, 4), 2.0))


@pytest.mark.skipif(shutil.which("g++") is None, reason="no compiler")
@pytest.mark.skipif(os.environ.get("KERNELMILL_NATIVE") == "0", reason="switched off")
def test_a_machine_with_a_compiler_has_the_library():
    # An install whose C++ does not compile succeeds without the kernels: here it must not.
    assert native_status().available, native_status().reason


def test_importing_the_package_opens_nothing():
    out = python("import sys, kernelmill; print('torch' in sys.modules)")
    assert out.strip() == "False"


@pytest.mark.skipif(native() is None, reason="no compiled kernels")
def test_a_smaller_instruction_set_can_be_asked_for():
    code = "from kernelmill.ops import native_status; print(native_status().isa)"
    assert python(code, KERNELMILL_ISA="portable").strip() == "portable"
    with pytest.raises(ValueError, match="isa: got 'sse9'"), use_isa("sse9"):
        pass


@pytest.mark.skipif(native() is None, reason="no compiled kernels")
def test_no_second_openmp_runtime_is_linked():
    with open("/proc/self/maps") as maps:
        runtimes = {line.split()[-1] for line in maps if "libgomp" in line or "libomp" in line}
    assert len(runtimes) <= 1, runtimes


def test_functions_are_found_by_discovery():
    assert callable(kernelmill.ops.gem) and not isinstance(kernelmill.ops.gem, types.ModuleType)
    assert kernelmill.ops.gem is operators()["gem"].function is gem
    assert "gem" in dir(kernelmill.ops)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = kernelmill.ops.nothing


def test_choice_of_backend_is_explained():
    op = operators()["gem"]
    x, p = torch.ones(1, 2, 3, dtype=torch.float64), torch.ones(1)
    assert op.choose(x, p, None, 1e-6, "clamp", False)[0] == "reference"
    with pytest.raises(ValueError, match="backend: got 'abacus'"), use_backend("abacus"):
        pass


def test_native_status_is_a_sentence():
    assert native_status().reason.endswith(".")
