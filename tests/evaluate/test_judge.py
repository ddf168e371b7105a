"""The judge as a whole: what is accepted, what is refused, and what is said about it."""

from __future__ import annotations

import json

import pytest

from kernelmill import Candidate, Task
from kernelmill.evaluate import Evaluation, Judge, Settings
from kernelmill.tasks import TaskError

HEAD = "import torch\nfrom torch import nn\nimport torch.nn.functional as F\n"


@pytest.fixture(scope="module")
def judge():
    with Judge(Settings(timing=False, threads=1, wall_s=20)) as judge:
        yield judge


def task(forward, inputs, init="", extra="", **fields):
    body = f"        super().__init__()\n{init}" if init else "        super().__init__()\n"
    text = (
        f"{HEAD}{extra}\nclass Model(nn.Module):\n    def __init__(self):\n{body}"
        f"    def forward(self, {forward[0]}):\n        {forward[1]}\n"
        f"def get_inputs():\n    return {inputs}\n"
    )
    return Task("t", text, **fields)


def same(task, old="", new=""):
    """The reference as a candidate, with one piece of its text exchanged."""
    text = task.source.replace("class Model(", "class ModelNew(")
    if old:
        assert old in text
        text = text.replace(old, new)
    return Candidate(text)


NESTED = task(("x", "return {'a': (x.relu(), [x.sum(), 3]), 'b': x > 0}"), "[torch.randn(4, 5)]")
SCALED = task(("x, s", "return x * s"), "[torch.randn(4, 5), 2.5]")
LINEAR = task(
    ("x", "return F.gelu(self.l(x))"), "[torch.randn(6, 8)]", "        self.l = nn.Linear(8, 5)\n"
)
NORM = task(
    ("x", "return self.n(x)"), "[torch.randn(6, 8) * 2]", "        self.n = nn.BatchNorm1d(8)\n"
)
INDEX = task(("x, i", "return x[i]"), "[torch.randn(9, 4), torch.randint(0, 9, (7,))]")
HALF = task(("x", "return torch.softmax(x, -1)"), "[torch.randn(8, 33).bfloat16()]")
WIDE = task(("x", "return torch.logsumexp(x, -1)"), "[torch.randn(8, 33).double()]")
VIEW = task(("x", "return x.t()"), "[torch.randn(4, 5)]")
FROZEN = task(
    ("x", "return self.n(x)"),
    "[torch.randn(6, 8) * 2]",
    "        self.n = nn.BatchNorm1d(8).eval()\n",
)
EMPTY = task(("x", "return x.relu()"), "[torch.randn(0, 5)]")
FIXED = task(("x", "return x.view(-1, dim).sum(1)"), "[torch.randn(6, dim)]", extra="dim = 8\n")
DIAGONAL = task(("a, b", "return torch.diag(a) @ b"), "[torch.randn(64), torch.randn(64, 32)]")


@pytest.mark.parametrize(
    "task",
    [NESTED, SCALED, LINEAR, NORM, INDEX, HALF, WIDE, VIEW, EMPTY, FIXED, FROZEN],
    ids=range(11),
)
def test_the_reference_is_right_about_itself(judge, task):
    answer = judge.evaluate(task, same(task))
    assert answer.status in ("accept", "untestable"), answer.reasons
    assert answer.status == ("untestable" if task is EMPTY else "accept")
    assert Evaluation.from_json(answer.to_json()) == answer


@pytest.mark.parametrize(
    ("task", "old", "new", "code"),
    [
        (NESTED, "x > 0", "x >= 0.01", "wrong_values"),
        (NESTED, "[x.sum(), 3]", "[x.sum(), 4]", "wrong_values"),
        (NESTED, "'b'", "'c'", "wrong_structure"),
        (SCALED, "x * s", "x * 2.5", "wrong_values"),
        (LINEAR, "F.gelu(self.l(x))", "F.gelu(self.l(x), approximate='tanh')", "wrong_values"),
        (LINEAR, "F.gelu(self.l(x))", "F.gelu(x @ self.l.weight.t())", "wrong_values"),
        (NORM, "self.n(x)", "(x - x.mean(0)) / x.std(0)", "wrong_values"),
        (INDEX, "x[i]", "x[:7]", "wrong_values"),
        (HALF, "torch.softmax(x, -1)", "torch.softmax(x.float(), -1)", "wrong_dtype"),
        (WIDE, "torch.logsumexp(x, -1)", "torch.logsumexp(x.float(), -1).double()", "wrong_values"),
        (VIEW, "x.t()", "x.clone().t().mul_(1.001)", "wrong_values"),
        (DIAGONAL, "torch.diag(a) @ b", "a.unsqueeze(0) * b[:, :1]", "wrong_shape"),
    ],
)
def test_what_is_wrong_is_named(judge, task, old, new, code):
    answer = judge.evaluate(task, same(task, old, new))
    assert (answer.accepted, answer.reasons[0].code) == (False, code), answer.reasons
    assert answer.timing is None and answer.fitness == 0.0
    json.loads(answer.to_json())


def test_an_algebraic_shortcut_is_honest(judge):
    answer = judge.evaluate(DIAGONAL, same(DIAGONAL, "torch.diag(a) @ b", "a[:, None] * b"))
    assert answer.accepted, answer.reasons


def test_batch_statistics_must_be_updated(judge):
    new = "(x - x.mean(0)) / (x.var(0, unbiased=False) + 1e-5).sqrt() * self.n.weight + self.n.bias"
    answer = judge.evaluate(NORM, same(NORM, "self.n(x)", new))
    assert answer.reasons[0].code == "state_modified"


def test_state_is_matched_by_order_where_names_differ(judge):
    renamed = LINEAR.source.replace("class Model(", "class ModelNew(").replace("self.l", "self.m")
    assert judge.evaluate(LINEAR, Candidate(renamed)).accepted


def test_errors_are_measured_against_float64(judge):
    errors = judge.evaluate(LINEAR, same(LINEAR)).errors
    assert errors.cases > 10
    assert 0 < errors.reference_rel < 1e-5 and errors.max_rel <= 2 * errors.reference_rel


GRADIENT = task(
    ("x", "return F.gelu(self.l(x))"), "[torch.randn(6, 8)]", "        self.l = nn.Linear(8, 5)\n",
    backward=True,
)  # fmt: skip
CUSTOM = """
class Gelu(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, w, b):
        y = x @ w.t() + b
        ctx.save_for_backward(x, w, y)
        return F.gelu(y)
    @staticmethod
    def backward(ctx, g):
        x, w, y = ctx.saved_tensors
        pdf = torch.exp(-0.5 * y * y) / 2.5066282746310002
        g = g * (0.5 * (1 + torch.erf(y / 2**0.5)) + y * pdf)
        return g @ w, g.t() @ x, g.sum(0)
"""


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ("", "", None),
        ("return g @ w, g.t()", "return -g @ w, g.t()", "wrong_gradient"),
        ("g.sum(0)", "None", "wrong_gradient"),
        ("g.t() @ x, g", "(g.t() @ x) * 1.01, g", "wrong_gradient"),
    ],
)
def test_gradients(judge, old, new, code):
    forward = "return Gelu.apply(x, self.l.weight, self.l.bias)"
    candidate = same(GRADIENT, "return F.gelu(self.l(x))", forward).source
    text = candidate.replace("class ModelNew", CUSTOM + "class ModelNew")
    if old:
        assert old in text
        text = text.replace(old, new)
    answer = judge.evaluate(GRADIENT, Candidate(text))
    assert (answer.reasons[0].code if answer.reasons else None) == code, answer.reasons
    if code:
        assert "gradient of" in answer.reasons[0].message


def test_constant_problems_are_untestable(judge):
    constant = task(("x", "return (x - x.detach()).relu() * 0"), "[torch.randn(4, 5)]")
    answer = judge.evaluate(constant, same(constant))
    assert answer.status == "untestable" and not answer.accepted
    assert judge.lint(constant).verdict == "untestable"


def test_weak_problems_are_marked(judge):
    ignoring = task(("x, y", "return x.exp() + 0 * 1"), "[torch.randn(4, 5), torch.randn(3)]")
    report = judge.lint(ignoring)
    assert report.verdict == "weak"
    assert [f.code for f in report.findings] == ["ignored_inputs"]
    random = task(("x", "return F.dropout(x, 0.5)"), "[torch.randn(40, 5)]")
    assert "random_reference" in [f.code for f in judge.lint(random).findings]
    good = task(("a, b", "return a @ b"), "[torch.randn(9, 8), torch.randn(8, 7)]")
    assert judge.lint(good).verdict == "ok"


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        (Task("t", HEAD + "def get_inputs(): return []"), "Model"),
        (Task("t", "class Model(:"), "line 1"),
        (task(("x", "return x @ x"), "[torch.randn(3, 4)]"), "cannot be multiplied|shapes"),
        (task(("x", "return None"), "[torch.randn(3, 4)]"), "no tensor"),
        (task(("x", "import os; os._exit(3)"), "[torch.randn(3, 4)]"), "exit code 3"),
    ],
)
def test_a_broken_reference_is_a_task_error(judge, broken, words):
    with pytest.raises(TaskError, match=words):
        judge.evaluate(broken, Candidate("class ModelNew: pass"))


def test_the_judge_goes_on_after_a_crash(judge):
    crash = same(LINEAR, "return F.gelu(self.l(x))", "import os; os.abort()")
    answer = judge.evaluate(LINEAR, crash)
    assert (answer.status, answer.reasons[0].code) == ("error", "crashed")
    assert judge.evaluate(LINEAR, same(LINEAR)).accepted


def test_an_unknown_backend_is_a_value_error(judge):
    with pytest.raises(ValueError, match="nonsense"):
        judge.evaluate(LINEAR, Candidate("x = 1", backend="nonsense"))


def test_seeds_differ_between_judges_and_can_be_replayed():
    with Judge(Settings(timing=False)) as a, Judge(Settings(timing=False)) as b:
        assert a.seed != b.seed
    with Judge(Settings(timing=False, seed=7)) as c:
        assert c.seed == 7


@pytest.mark.parametrize(
    "field", [{"wall_s": 0}, {"memory_bytes": -1}, {"threads": 0}, {"policy": "loose"}]
)
def test_settings_refuse_nonsense(field):
    with pytest.raises(ValueError, match=next(iter(field))):
        Settings(**field)


@pytest.mark.parametrize("level", ["landlock", "limits"])
def test_weaker_sandboxes_still_judge(level):
    with Judge(Settings(timing=False, threads=1)) as judge:
        judge.level = level
        assert judge.evaluate(LINEAR, same(LINEAR)).accepted
        wrong = same(LINEAR, "F.gelu(self.l(x))", "F.relu(self.l(x))")
        assert judge.evaluate(LINEAR, wrong).reasons[0].code == "wrong_values"


def test_landlock_hides_files(tmp_path):
    secret = tmp_path / "secret.txt"
    secret.write_text("the secret")
    with Judge(Settings(timing=False, threads=1)) as judge:
        judge.level = "landlock"
        reading = same(
            LINEAR, "return F.gelu(self.l(x))", f"raise ValueError(open({str(secret)!r}).read())"
        )
        answer = judge.evaluate(LINEAR, reading)
    assert not answer.accepted and "the secret" not in answer.to_json()


def test_a_task_in_a_private_folder_can_be_judged(judge, tmp_path):
    tmp_path.chmod(0o700)
    path = tmp_path / "reference.py"
    path.write_text(LINEAR.source)
    path.chmod(0o600)
    answer = judge.evaluate(Task.from_file(path), same(LINEAR))
    assert answer.accepted, answer.reasons
