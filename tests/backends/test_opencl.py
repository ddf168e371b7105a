"""Backend opencl: kernels compute on the tensors' own memory; what is wrong is named."""

import importlib.util
import subprocess
import sys

import pytest

from kernelmill import backends
from kernelmill.backends import BuildError, BuildSpec
from kernelmill.evaluate import Judge, Settings
from kernelmill.tasks import Candidate, Task

BACKEND = backends.get("opencl")
USABLE = BACKEND.available()
NEEDS_DRIVER = pytest.mark.skipif(not USABLE.usable, reason=USABLE.reason)
TASK = Task(
    "softmax",
    "import torch\nrows = 6\nclass Model(torch.nn.Module):\n    def forward(self, x):\n"
    "        return torch.softmax(x, -1)\ndef get_inputs():\n    return [torch.randn(rows, 33)]\n",
)
CALLS = """
import pytest, torch
from kernelmill.backends import BuildError
from kernelmill.backends.opencl import compile_opencl

program = compile_opencl('''
kernel void axpy(global const float *x, global float *y, float a) {
  size_t i = get_global_id(0);
  y[i] = a * x[i] + y[i];
}
kernel void place(global long *out, int width, uchar byte) {
  out[get_global_id(1) * width + get_global_id(0)] =
      1000 * get_local_size(0) + 10 * get_global_id(1) + get_global_id(0) + byte;
}
kernel void halve(global short *x) { x[get_global_id(0)] /= 2; }
''')
for count in (1, 7, 1000, 4099):
    x, y = torch.randn(count), torch.randn(count)
    want = 2.5 * x + y
    before, address = x.clone(), y.data_ptr()
    program.axpy(count, x, y, 2.5)
    assert torch.allclose(y, want, atol=1e-5) and torch.equal(x, before) and y.data_ptr() == address
    program.axpy(count, x, y, -2)  # a Python integer for a float
part = torch.zeros(10)
program.axpy(3, torch.ones(3), part[4:7], 1.0)  # a part of a storage: nothing else is touched
assert part.tolist() == [0] * 4 + [1] * 3 + [0] * 3
program.axpy(0, torch.empty(0), torch.empty(0), 1.0)
out = torch.zeros(2, 6, dtype=torch.int64)
program.place((6, 2), out, 6, 1, group=(3, 1))
assert out.tolist() == [[3001 + c + 10 * r for c in range(6)] for r in range(2)]
x = torch.arange(10, dtype=torch.int16)
program.halve(10, x)
assert x.tolist() == [i // 2 for i in range(10)]

x, y = torch.ones(4), torch.ones(4)
for error, told, call in [
    (TypeError, "axpy takes 3 arguments, got 2", lambda: program.axpy(4, x, y)),
    (ValueError, "argument 0: want a contiguous", lambda: program.axpy(2, y[::2], x, 1.0)),
    (ValueError, "got one .meta", lambda: program.axpy(4, x.to("meta"), y, 1.0)),
    (TypeError, "argument 2: want a tensor or a number, got str",
     lambda: program.axpy(4, x, y, "1")),
    (TypeError, "argument 1: a number was given, the kernel declares float",
     lambda: program.axpy(4, x, 3, 1.0)),
    (OverflowError, "300 does not fit into uchar", lambda: program.place(4, out, 6, 300)),
    (ValueError, "size: want one to three", lambda: program.axpy((1, 1, 1, 1), x, y, 1.0)),
    (ValueError, "size: want one to three", lambda: program.axpy(-1, x, y, 1.0)),
    (AttributeError, "no kernel 'axpby'; it has .'axpy', 'halve', 'place'.",
     lambda: program.axpby(4)),
    (BuildError, "use of undeclared identifier 'z'",
     lambda: compile_opencl("kernel void f(global float *x) { x[0] = z; }")),
]:
    with pytest.raises(error, match=told):
        call()
assert compile_opencl("kernel void f(global int *x) { x[0] = N; }", ["-DN=7"])
print("through")
"""


@NEEDS_DRIVER
def test_calls_and_their_errors():
    """In a process of its own: a driver's threads and a later fork do not go together."""
    done = subprocess.run([sys.executable, "-c", CALLS], capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.strip() == "through", done.stderr


def test_without_the_package(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    found = BACKEND.available()
    assert not found.usable and "pip install 'kernelmill[opencl]'" in found.reason


def test_without_a_driver(monkeypatch, tmp_path):
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec",
        lambda name: None if name.startswith("pocl") else real("json"),
    )  # fmt: skip
    monkeypatch.setenv("OCL_ICD_VENDORS", str(tmp_path))
    found = BACKEND.available()
    assert not found.usable and "no OpenCL driver" in found.reason and "pocl" in found.reason
    (tmp_path / "some.icd").write_text("libsome.so\n")
    assert BACKEND.available().usable


PLAIN = "import torch\nclass ModelNew(torch.nn.Module):\n    def forward(self, x):\n"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (PLAIN + "        return torch.softmax(x, -1)\n", "no call of compile_opencl"),
        (PLAIN + "        # compile_opencl()\n        return x\n", "no call of compile_opencl"),
        ("def (", "line 1: syntax error"),
    ],
)
def test_what_does_not_build(text, told, tmp_path):
    with pytest.raises(BuildError, match=told):
        BACKEND.build(text, tmp_path, BuildSpec())


@NEEDS_DRIVER
def test_a_kernel_that_only_decorates_is_refused():
    text = (
        "import torch\nfrom kernelmill.backends.opencl import compile_opencl\n"
        "class ModelNew(torch.nn.Module):\n    def __init__(self):\n        super().__init__()\n"
        "        self.program = compile_opencl('kernel void f(global float *x) {}')\n"
        "    def forward(self, x):\n        y = torch.softmax(x, -1)\n"
        "        self.program.f(1, y)\n        return y\n"
    )
    with Judge(Settings(timing=False, threads=1)) as judge:
        answer = judge.evaluate(TASK, Candidate(text, "opencl"))
    assert answer.status == "reject" and answer.reasons[0].code in ("decoy_kernel", "no_kernel")
