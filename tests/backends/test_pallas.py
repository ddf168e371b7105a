"""Backend pallas: conversions keep values, what is no kernel is refused, faults are named."""

import importlib.util
import subprocess
import sys

import pytest

from kernelmill import backends
from kernelmill.backends import BuildError, BuildSpec, pallas
from kernelmill.evaluate import Judge, Settings
from kernelmill.tasks import Candidate, Task

BACKEND = backends.get("pallas")
TASK = Task(
    "double",
    "import torch\nrows = 6\nclass Model(torch.nn.Module):\n    def forward(self, x):\n"
    "        return torch.softmax(x, -1)\ndef get_inputs():\n    return [torch.randn(rows, 33)]\n",
)
PLAIN = "import torch\nclass ModelNew(torch.nn.Module):\n    def forward(self, x):\n"
NEEDS_JAX = pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="no jax")


CONVERSIONS = """
import itertools, pytest, torch
from kernelmill.backends.pallas import to_jax, to_torch
dtypes = [torch.float32, torch.bfloat16, torch.float16, torch.int32, torch.int8, torch.bool]
for dtype, shape in itertools.product(dtypes, [(), (1,), (5, 7), (0, 3), (2, 3, 4)]):
    x = (torch.randn(shape) * 3).to(dtype)
    array = to_jax(x)
    assert array.shape == shape and str(array.dtype) == str(dtype).removeprefix("torch.")
    back = to_torch(array)
    assert back.dtype == dtype and back.shape == x.shape and torch.equal(back, x), (dtype, shape)
x = torch.randn(4, 6, requires_grad=True)
for view in (x.t(), x[:, ::2], x[1:], x[:1].expand(3, 6), x.flip(0)):
    assert torch.equal(to_torch(to_jax(view)), view.detach())
for value, told in [
    (torch.arange(3), "int64 has no counterpart on a TPU; convert it first, as x.int()"),
    (torch.ones(2).double(), "float64"),
    ([1.0], "want a torch tensor on the CPU, got list"),
    (torch.ones(2, device="meta"), "want a torch tensor on the CPU, got meta"),
]:
    with pytest.raises(TypeError, match=told):
        to_jax(value)
print("through")
"""


def run(code):
    """In a process of its own: JAX's threads and a later fork do not go together."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@NEEDS_JAX
def test_values_shapes_and_dtypes_go_there_and_back():
    assert run(CONVERSIONS).strip() == "through"


def test_without_jax(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    found = BACKEND.available()
    assert not found.usable and "pip install 'kernelmill[pallas]'" in found.reason


def test_the_environment_names_the_platform(monkeypatch):
    monkeypatch.setattr(pallas, "has_tpu", lambda: False)
    assert BACKEND.environment() == {"JAX_PLATFORMS": "cpu"} and pallas.interpret()
    assert not BACKEND.available().can_time
    monkeypatch.setattr(pallas, "has_tpu", lambda: True)
    assert BACKEND.environment() == {} and not pallas.interpret()


def test_importing_kernelmill_and_its_backends_does_not_import_jax():
    code = (
        "import sys, kernelmill\nfrom kernelmill import backends\nfrom kernelmill.backends import "
        "doctor\ndoctor.diagnose(); assert 'jax' not in sys.modules"
    )
    run(code)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (PLAIN + "        return torch.softmax(x, -1)\n", "no pallas_call"),
        (PLAIN + "        # pallas_call\n        return x\n", "no pallas_call"),
        ("def (", "line 1: syntax error"),
        ("pallas_call = None\n1 / 0\n# pallas_call", "line 2: ZeroDivisionError"),
    ],
)
def test_what_does_not_build(text, told, tmp_path):
    with pytest.raises(BuildError, match=told):
        BACKEND.build(text, tmp_path, BuildSpec())


@NEEDS_JAX
def test_a_kernel_that_only_decorates_is_refused():
    """It has a pallas_call, but torch does the work."""
    text = (
        "import torch, jax\nfrom jax.experimental import pallas as pl\n"
        "from kernelmill.backends.pallas import to_jax, to_torch\n"
        "def nothing(x_ref, y_ref):\n    y_ref[...] = x_ref[...]\n"
        "class ModelNew(torch.nn.Module):\n    def forward(self, x):\n"
        "        y = torch.softmax(x, -1)\n"
        "        return to_torch(pl.pallas_call(nothing, out_shape=jax.ShapeDtypeStruct("
        "y.shape, 'float32'), interpret=True)(to_jax(y)))\n"
    )
    with Judge(Settings(timing=False, threads=1)) as judge:
        answer = judge.evaluate(TASK, Candidate(text, "pallas"))
        plain = judge.evaluate(TASK, Candidate(PLAIN + "        return x.softmax(-1)\n", "pallas"))
    assert answer.status == "reject" and answer.reasons[0].code in ("decoy_kernel", "no_kernel")
    assert plain.status == "error" and plain.reasons[0].code == "build_failed"
