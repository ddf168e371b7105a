"""Triton without a GPU: in an interpreter that has to be chosen before Triton is imported."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys

import pytest

from kernelmill import backends
from kernelmill.backends.device import has_cuda

needs_triton = pytest.mark.skipif(
    importlib.util.find_spec("triton") is None, reason="triton is not installed"
)
SOURCE = """
import torch
import triton
import triton.language as tl

@triton.jit
def kernel(x, y, n, BLOCK: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(y + i, tl.load(x + i, mask=i < n) * 2, mask=i < n)

class ModelNew(torch.nn.Module):
    def forward(self, x):
        y = torch.empty_like(x)
        kernel[(triton.cdiv(x.numel(), 64),)](x, y, x.numel(), BLOCK=64)
        return y
"""
RUN = """
import json, sys, tempfile
from pathlib import Path
import torch
from kernelmill import backends
if "early" in sys.argv:
    import triton
backend = backends.get("triton")
try:
    model = backend.build(sys.stdin.read(), Path(tempfile.mkdtemp()), backends.BuildSpec())()
    x = torch.arange(100.0, device=backend.device)
    print(json.dumps(bool(torch.equal(model(x), 2 * x))))
except backends.BuildError as error:
    print(json.dumps(str(error)))
"""


def run(*arguments):
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    done = subprocess.run(
        [sys.executable, "-c", RUN, *arguments],
        input=SOURCE,
        capture_output=True,
        text=True,
        env=environment,
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


@needs_triton
def test_a_kernel_runs():
    assert run() is True


@needs_triton
@pytest.mark.skipif(has_cuda(), reason="kernels are compiled here")
def test_a_worker_that_imported_triton_too_early_is_told():
    assert "TRITON_INTERPRET=1" in run("early")


@needs_triton
@pytest.mark.skipif(has_cuda(), reason="there is a GPU")
def test_without_a_gpu_there_is_no_timing():
    found = backends.get("triton").available()
    assert found.usable and not found.can_time and "interpreted" in found.reason
    assert backends.get("triton").environment() == {"TRITON_INTERPRET": "1"}


def test_without_triton_the_reason_names_the_extra(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    found = backends.get("triton").available()
    assert not found.usable and "kernelmill[triton]" in found.reason
