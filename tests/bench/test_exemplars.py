"""The example that each category and backend is shown by: accepted, and a wrong variant refused."""

from pathlib import Path

import pytest

import kernelmill.bench.exemplars as package
from kernelmill import backends
from kernelmill.bench.prompts import example
from kernelmill.evaluate import Judge, Settings
from kernelmill.tasks import Candidate
from kernelmill.tasks.suites import CATEGORIES

ROOT = Path(package.__file__).parent
FILES = sorted(p for p in ROOT.glob("*/*.py") if p.stem != "reference")
# What to change to get a realistic fault.
FAULTS = {
    "add/ascendc": ("aclnnAddCustom, x, y, z", "aclnnAddCustom, x, z"),
    "activation/ascendc": ("plan.slope", "plan.alpha"),
    "add/cpp": ("i < count", "i < count - count % 8"),
    "add/triton": ("tl.load(y + place, mask=inside)", "tl.load(y + place % 512, mask=inside)"),
    "activation/opencl": ("exp(in[c] - largest)", "exp(in[c] - in[0])"),
    "add/opencl": ("x[i] + y[i]", "x[i] + y[i / 2 * 2]"),
    "matmul/opencl": ("row < n && start + x < n ?", "start + x < n - 1 ?"),
    "reduce/opencl": ("l < length; ++l", "l < length; l += 2"),
    "activation/pallas": ("x - jnp.max(x, axis=1, keepdims=True)", "x - x[:, :1]"),
    "add/pallas": ("x_ref[...] + y_ref[...]", "x_ref[...] + y_ref[0:1]"),
    "broadcast/pallas": ("lambda b, c: (0, c, 0, 0)", "lambda b, c: (0, b, 0, 0)"),
    "fuse/pallas": ("product + bias_ref[...]", "product + bias_ref[0, 0]"),
    "loss/pallas": ("jnp.where(inside, a_ref[...] - b_ref[...], 0.0)",
                    "jnp.nan_to_num(a_ref[...] - b_ref[...] + 0.1)"),
    "math/pallas": ("s_ref[0] * a_ref[...]", "3.14 * a_ref[...]"),
    "matmul/pallas": ("jnp.where(inner[None, :] < n, a_ref[...], 0.0)", "a_ref[...]"),
    "normalization/pallas": ("x * x, axis=1", "x * x, axis=2"),
    "optimizer/pallas": ("0.1 * gradient", "0.2 * gradient"),
    "pooling/pallas": ("/ (k * k)", "/ (k + k)"),
    "reduce/pallas": ("jnp.where(inside[None, :, None], x_ref[...], 0.0)", "x_ref[...]"),
    "activation/cpp": ("std::exp(in[c] - largest)", "std::exp(in[c] - in[0])"),
    "arch/cpp": ("const long visible = std::min(count, t + i - first + 1);",
                 "const long visible = count;"),
    "arch/triton": ("rows[:, None] >= columns[None, :]", "rows[:, None] > columns[None, :]"),
    "broadcast/cpp": ("bias[p % channels]", "bias[p / channels % channels]"),
    "convolution/cpp": ("row >= height", "row >= height - 1"),
    "fuse/cpp": ("sum < 0 ? 0 : sum;", "sum < 0 ? sum : sum;"),
    "index/cpp": ("index[r * count + i]]", "index[i]]"),
    "loss/cpp": ("sum / count", "sum / (count - 1)"),
    "math/cpp": ("long l = 0; l < length", "long l = 1; l < length"),
    "matmul/cpp": ("c + (i + r) * n + j", "c + (i + r) * n + std::min(j, n - COLUMNS)"),
    "normalization/cpp": ("scale[i] / channels", "scale[i] / (channels + 1)"),
    "optimizer/cpp": ("0.1f * g[i]", "0.2f * g[i]"),
    "pooling/cpp": ("1.0f / (k * k)", "1.0f / (k * k + 1)"),
    "reduce/cpp": ("long l = 0; l < length", "long l = 0; l < length / 2 * 2"),
    "resize/cpp": ("out[4 * c + i] = in[c]", "out[4 * c + i] = in[(4 * c + i + 1) / 4 % width]"),
    "activation/triton": ("place < columns", "place < columns - 1"),
    "broadcast/triton": ("plane % channels", "plane // channels"),
    "convolution/triton": ("(h < height)", "(h < height - 1)"),
    "fuse/triton": ("in range(0, inner, DEPTH)", "in range(DEPTH, inner, DEPTH)"),
    "index/triton": ("x + row * length + chosen", "x + row * count + chosen"),
    "loss/triton": ("/ count)", "/ parts)"),
    "math/triton": ("* s, mask", "* 3.14, mask"),
    "matmul/triton": ("(inner < n)[None, :]", "(inner < n - 1)[None, :]"),
    "normalization/triton": ("squares / channels + eps", "squares / channels + 100 * eps"),
    "optimizer/triton": ("0.1 * gradient", "0.2 * gradient"),
    "pooling/triton": ("row * k * width", "row * width"),
    "reduce/triton": ("for step in range(length)", "for step in range(1, length)"),
    "resize/triton": ("place % (4 * width) // 4", "(place + 1) % (4 * width) // 4"),
}  # fmt: skip
QUICK = {"activation/cpp", "reduce/triton", "reduce/pallas"}


def label(path):
    return f"{path.parent.name}/{path.stem}"


def parameters(names):
    for name in names:
        marks = [] if name in QUICK else [pytest.mark.slow]
        yield pytest.param(name, marks=marks)


@pytest.fixture(scope="module")
def judge():
    with Judge(Settings(timing=False, threads=1)) as judge:
        yield judge


def evaluate(judge, name, source):
    category, backend = name.split("/")
    usable = backends.get(backend).available()
    if not usable.usable:
        pytest.skip(usable.reason)  # no compiler, or no Triton: nothing to judge
    return judge.evaluate(example(category, backend).task, Candidate(source, backend))


@pytest.mark.parametrize("name", list(parameters(map(label, FILES))))
def test_exemplar_is_accepted(name, judge):
    answer = evaluate(judge, name, (ROOT / f"{name}.py").read_text())
    assert answer.accepted, answer.reasons


@pytest.mark.parametrize("name", list(parameters(map(label, FILES))))
def test_its_wrong_variant_is_refused(name, judge):
    source = (ROOT / f"{name}.py").read_text()
    right, wrong = FAULTS[name]
    assert source.count(right) == 1
    answer = evaluate(judge, name, source.replace(right, wrong))
    assert answer.status == "reject", answer


def test_pallas_is_shown_in_eight_categories():
    assert sum(name.endswith("/pallas") for name in FAULTS) >= 8


def test_every_category_has_one_in_cpp_and_in_triton():
    wanted = {f"{name}/{backend}" for name in (*CATEGORIES, "add") for backend in ("cpp", "triton")}
    assert wanted <= set(map(label, FILES)) and set(map(label, FILES)) == set(FAULTS)
