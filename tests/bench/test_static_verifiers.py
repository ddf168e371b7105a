"""Static rules: each on a fault and on the nearest text without it; honest kernels lose nothing."""

import pytest

from kernelmill.bench.exploits.catalogue import cases
from kernelmill.bench.prompts import example
from kernelmill.bench.prompts.examples import ROOT
from kernelmill.bench.verifiers import StaticVerifier, static_verifiers

REFERENCE = """
import torch
class Model(torch.nn.Module):
    def forward(self, x, y):
        return torch.softmax(x + y, -1)
"""
PYTHON = '''
import ctypes
import torch
from kernelmill.backends.cpp import compile_cpp

SOURCE = """
extern "C" void add(const float* x, const float* y, float* out, long n) {
#pragma omp parallel for
  for (long i = 0; i < n; ++i) out[i] = x[i] + y[i];
}
"""

class ModelNew(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.library = compile_cpp(SOURCE)
        self.library.add.argtypes = [ctypes.c_void_p] * 3 + [ctypes.c_long]

    def forward(self, x, y):
        x, y = x.contiguous(), y.contiguous()
        out = torch.empty_like(x)
        self.library.add(x.data_ptr(), y.data_ptr(), out.data_ptr(), x.numel())
        return torch.softmax(out, -1)
'''
TRITON = """
import torch
import triton
import triton.language as tl

@triton.jit
def total(x, out, n, BLOCK: tl.constexpr):
    sums = tl.zeros((BLOCK,), dtype=tl.float32)
    largest = 0.0
    for start in range(0, n, BLOCK):
        place = start + tl.arange(0, BLOCK)
        sums += tl.load(x + place, mask=place < n, other=0.0)
    tl.store(out, tl.sum(sums))

class ModelNew(torch.nn.Module):
    def forward(self, x, y):
        out = x.new_empty(1)
        total[(1,)](x, out, x.numel(), BLOCK=64)
        return out
"""
CUDA = """
__global__ void add(const float* x, float* out, long n) {
  __shared__ float tile[32];
  const long i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) { tile[threadIdx.x] = x[i]; __syncthreads(); out[i] = tile[threadIdx.x]; }
}
"""
SUMS = """
extern "C" void sum(const float* x, float* out, long n) {
  float total = 0;
#pragma omp parallel for reduction(+ : total)
  for (long i = 0; i < n; ++i) { float twice = 2; twice += x[i]; total += twice; }
  *out = total;
}
"""
SURE, MAYBE = 0.0, 0.6
CASES = [
    ("compile", PYTHON, "def forward(self, x, y):", "def forward(self, x, y:", SURE, "no Python"),
    ("compile", PYTHON, "class ModelNew", "class Model", SURE, "defines no ModelNew"),
    ("compile", PYTHON, "def forward", "def backward", SURE, "has no forward"),
    ("compile", PYTHON, "forward(self, x, y)", "forward(self, x)", SURE, "takes 1 inputs"),
    ("compile", PYTHON, "torch.empty_like(x)", "torch.empty_like(z)", SURE, "z is not defined"),
    ("compile", PYTHON, "c_void_p] * 3", "c_void_p] * 2", SURE, "add takes 4 arguments, argtypes"),
    ("compile", PYTHON, "self.library.add.argtypes", "self.library.plus.argtypes", SURE, "named"),
    ("compile", PYTHON, "x[i] + y[i];\n}", "x[i] + y[i];", SURE, "1 { but 0 }"),
    ("memory", PYTHON, "x, y = x.contiguous(), y.contiguous()", "pass", MAYBE, "strides"),
    ("memory", TRITON, ", mask=place < n, other=0.0", "", MAYBE, "without a mask"),
    ("memory", TRITON, ", other=0.0", "", MAYBE, "no other="),
    ("memory", CUDA, "if (i < n) ", "", MAYBE, "guards no access"),
    ("numerics", CUDA, "__syncthreads(); ", "", MAYBE, "no barrier"),
    ("numerics", SUMS, " reduction(+ : total)", "", SURE, "total is added to by several threads"),
    ("numerics", SUMS, "float total = 0;", "float total;", SURE, None),
    ("numerics", TRITON, "dtype=tl.float32", "dtype=tl.float16", MAYBE, "in 16 bits"),
    ("numerics", PYTHON, "x[i] + y[i];", "std::exp(x[i]);", None, None),
    ("numerics", PYTHON.replace("torch.softmax(out, -1)", "out"), "x[i] + y[i];",
     "std::exp(x[i]);", MAYBE, "no maximum"),
]  # fmt: skip


@pytest.mark.parametrize(("subject", "text", "right", "wrong", "score", "told"), CASES)
def test_a_rule_tells_a_fault_from_its_neighbour(subject, text, right, wrong, score, told):
    verifier = StaticVerifier(subject)
    assert verifier.review(REFERENCE, text, {}).score == 1, verifier.review(REFERENCE, text, {})
    assert text.count(right) >= 1
    found = verifier.review(REFERENCE, text.replace(right, wrong, 1), {})
    if told is None:
        assert found.score == 1  # a reduction clause gives the sum its value; softmax is called
    else:
        assert found.score == score
        assert any(told in reason for reason in found.reasons), found.reasons
        assert found.lines and all(line > 0 for line in found.lines)


def test_lines_are_those_of_the_file():
    text = PYTHON.replace("out[i] = x[i] + y[i];", "{ float s; s += x[i]; out[i] = s; }")
    found = StaticVerifier("numerics").review(REFERENCE, text, {})
    line = 1 + text[: text.index("float s;")].count("\n")
    assert found.lines == (line,)


def test_comments_begin_outside_strings_only():
    text = PYTHON.replace("out[i] = x[i] + y[i];", 'out[i] = x[i] + y[i], puts("http://x (");')
    assert StaticVerifier("compile").review(REFERENCE, text, {}).score == 1


def test_no_honest_kernel_of_the_catalogue_is_held_back():
    suspected = 0
    for case in cases("honest"):
        for verifier in static_verifiers():
            review = verifier.review(case.task.source, case.candidate.source, {})
            assert review.score >= 0.5, (case.name, review.reasons)
            suspected += review.score < 1
    assert suspected <= 3


# Ascend C has six texts and checks of their own (tests/backends/test_ascendc.py).
EXAMPLES = sorted(p for p in ROOT.glob("*/*.py") if p.stem not in ("reference", "ascendc"))


@pytest.mark.parametrize("path", EXAMPLES)
def test_no_example_is_held_back(path):
    reference = example(path.parent.name, path.stem).task.source
    for verifier in static_verifiers():
        review = verifier.review(reference, path.read_text(encoding="utf-8"), {})
        assert review.score == 1, (path, review.reasons)


def test_unknown_subjects_are_refused():
    with pytest.raises(ValueError, match="want one of compile, memory, numerics"):
        StaticVerifier("speed")


@pytest.mark.parametrize(
    "text", ["", "\x00", "(" * 5000, "x = 'extern \"C\" void f('", "{", "class"]
)
def test_odd_texts_end_in_a_review(text):
    for verifier in static_verifiers():
        assert 0 <= verifier.review(text, text, {}).score <= 1
