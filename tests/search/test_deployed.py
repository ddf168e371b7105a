from __future__ import annotations

import copy
import json
import logging
import pickle

import pytest
import torch

from kernelmill.evaluate.evaluation import Reason
from kernelmill.search.deployed import Deployed, load
from kernelmill.search.errors import WinnerError
from kernelmill.search.proof import depends_on_mode
from kernelmill.search.winner import certify, read_winner, save_winner
from kernelmill.tasks import Candidate, Task
from tests.search.fakes import accepted, rejected

SOURCE = """
import torch

class Model(torch.nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.linear = torch.nn.Linear(dim, 3)
        self.register_buffer("shift", torch.ones(3))

    def forward(self, x, scale=2.0):
        return torch.relu(self.linear(x)) * scale + self.shift

def get_inputs():
    return [torch.randn(5, 4), 2.0]

def get_init_inputs():
    return [4]
"""
# ``calls`` shows which of the two ran
LIVE = """
import torch

class ModelNew(torch.nn.Module):
    calls = 0

    def __init__(self, dim):
        super().__init__()
        self.linear = torch.nn.Linear(dim, 3)
        self.register_buffer("shift", torch.ones(3))

    def forward(self, x, scale):
        type(self).calls += 1
        return self.linear(x).clamp(min=0).mul(scale).add(self.shift)
"""
# packs its weights when they are loaded: right for the judge, stale where weights are shared
INIT = "        self.register_buffer"
PACKING = LIVE.replace(
    INIT, f"        self.register_load_state_dict_post_hook(type(self).pack)\n{INIT}"
).replace("self.linear(x)", "(x @ self.packed + self.linear.bias)")
PACKING += """
    def pack(self, _=None):
        self.packed = self.linear.weight.detach().t().contiguous()
"""
STALE = PACKING.replace("self.register_load_state_dict_post_hook(type(self).pack)", "self.pack()")
TASK = Task("toy", SOURCE)


@pytest.fixture
def folder(tmp_path):
    def make(source=LIVE, task=TASK, evaluation=None, **facts):
        winner = certify(task, Candidate(source, name="fast"), evaluation or accepted(2.0), **facts)
        return save_winner(winner, tmp_path / "winner")

    return make


def kernel_calls(module: Deployed) -> int:
    return module.calls["kernel"]


@pytest.fixture
def inputs():
    return torch.randn(5, 4, generator=torch.Generator().manual_seed(1)), 2.0


def test_a_covered_call_runs_the_kernel(folder, inputs):
    module = load(folder())
    with torch.no_grad():
        torch.testing.assert_close(module(*inputs), module.reference(*inputs))
        torch.testing.assert_close(module(inputs[0]), module.reference(*inputs))
        torch.testing.assert_close(module(x=inputs[0], scale=2.0), module.reference(*inputs))
        assert "this call: the kernel" in module.explain(*inputs)
    assert module.calls == {"kernel": 3, "reference": 0}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda x: (x[:4], 2.0), r"inputs \(float32\[4, 4\] on cpu, 2.0\) were not proven"),
        (lambda x: (x, 3.0), "3.0"),
        (lambda x: (torch.nn.Parameter(x), 2.0), None),
        (lambda x: (x.as_subclass(Tagged), 2.0), "Tagged"),
        (lambda x: (x.clone().requires_grad_(), 2.0), None),
    ],
)
def test_other_inputs_run_the_reference_and_say_so(folder, inputs, change, words, caplog):
    module = load(folder())
    args = change(inputs[0])
    with torch.no_grad(), caplog.at_level(logging.WARNING, "kernelmill"):
        for _ in range(3):
            result = module(*args)
        torch.testing.assert_close(torch.Tensor(result), torch.Tensor(module.reference(*args)))
    said = [r.getMessage() for r in caplog.records]
    if words is None:
        assert module.calls == {"kernel": 3, "reference": 0} and not said
    else:
        assert module.calls == {"kernel": 0, "reference": 3}
        (line,) = said  # once, not three times
        assert "runs the reference" in line
        import re

        assert re.search(words, line) and re.search(words, module.explain())
        assert re.search(words, module.explain(*args))


class Tagged(torch.Tensor):
    pass


def test_other_dtypes_run_the_reference(folder, inputs):
    module = load(folder()).double()
    with torch.no_grad():
        assert module(inputs[0].double(), 2.0).dtype == torch.float64
    assert kernel_calls(module) == 0
    module.float()
    with torch.no_grad():
        module(*inputs)
    assert kernel_calls(module) == 1


def test_gradients_need_proof(folder, inputs, caplog):
    module = load(folder())
    out = module(*inputs)
    assert out.requires_grad and kernel_calls(module) == 0
    assert "under torch.no_grad()" in module.explain()
    module.requires_grad_(False)
    module(*inputs)
    assert kernel_calls(module) == 1


def test_proven_gradients_reach_the_original_parameters(folder, inputs):
    original = torch.nn.Module()
    from kernelmill.tasks import Program

    original = Program(TASK).make_model(seed=3)
    module = load(folder(backward=True), original)
    module(*inputs).sum().backward()
    assert kernel_calls(module) == 1
    grad = original.linear.weight.grad.clone()
    original.zero_grad()
    original(*inputs).sum().backward()
    torch.testing.assert_close(grad, original.linear.weight.grad)


@pytest.mark.parametrize(("source", "share"), [(LIVE, True), (PACKING, False)])
def test_weights_are_those_of_the_original(folder, inputs, source, share):
    from kernelmill.tasks import Program

    original = Program(TASK).make_model(seed=3)
    module = load(folder(source), original)
    assert module._tie.share is share
    assert list(module.state_dict()) == list(original.state_dict())
    assert module.linear.weight is original.linear.weight
    assert {id(p) for p in module.parameters()} == {id(p) for p in original.parameters()}

    def check():
        count = kernel_calls(module)
        with torch.no_grad():
            torch.testing.assert_close(module(*inputs), original(*inputs))
        assert kernel_calls(module) == count + 1

    check()
    with torch.no_grad():
        original.linear.weight.mul_(-2.0)
    check()
    module.load_state_dict({k: torch.randn_like(v) for k, v in original.state_dict().items()})
    check()
    original.linear.bias = torch.nn.Parameter(torch.randn(3))
    check()
    module.linear.weight = torch.nn.Parameter(torch.randn(3, 4))
    check()
    module.shift.add_(1.0)
    check()
    optimizer = torch.optim.SGD(module.parameters(), lr=0.5)
    original(*inputs).sum().backward()
    optimizer.step()
    check()
    if share:
        original.linear.weight.data.mul_(3.0)
        check()


def test_a_kernel_that_does_not_follow_its_weights_is_not_used(folder, inputs, caplog):
    with caplog.at_level(logging.WARNING, "kernelmill"):
        module = load(folder(STALE))
    assert "disagree on this machine" in caplog.text
    with torch.no_grad():
        torch.testing.assert_close(module(*inputs), module.reference(*inputs))
    assert kernel_calls(module) == 0


@pytest.mark.parametrize(
    "source",
    [
        LIVE.replace("import torch", "import torch, not_there", 1),
        LIVE.replace("class ModelNew", "class Other"),
        LIVE.replace("nn.Linear(dim, 3)", "nn.Linear(dim, 7)"),
        LIVE.replace("type(self).calls += 1", "raise RuntimeError('no')"),
    ],
)
def test_a_kernel_that_does_not_work_here_leaves_the_reference(folder, inputs, source):
    module = load(folder(source))
    with torch.no_grad():
        torch.testing.assert_close(module(*inputs), module.reference(*inputs))
    assert module.calls == {"kernel": 0, "reference": 1}
    assert "the reference: " in module.explain()


def test_a_kernel_that_fails_later_is_not_used_again(folder, inputs):
    module = load(folder(LIVE.replace("type(self).calls += 1", "self.count()")), verify=False)
    with torch.no_grad():
        for _ in range(2):
            torch.testing.assert_close(module(*inputs), module.reference(*inputs))
    assert module.calls == {"kernel": 0, "reference": 2}
    assert "the kernel failed: AttributeError" in module.explain()


def edit(folder, name, change):
    path = folder / name
    path.write_text(change(path.read_text()))


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("kernel.py", lambda s: s.replace("min=0", "min=1"), "changed after it was proven"),
        ("kernel.py", lambda s: s + "\n# harmless\n", "changed after it was proven"),
        ("reference.py", lambda s: s.replace("relu", "sigmoid"), "task was changed"),
        ("task.json", lambda s: s.replace('"factor": 16.0', '"factor": 99.0'), "task was changed"),
        ("certificate.json", lambda s: s[:-9], "no readable"),
        ("certificate.json", lambda s: s.replace('"format": 1', '"format": 7'), "format 7"),
        (
            "certificate.json",
            lambda s: s.replace('"status": "accept"', '"status": "reject"'),
            "no acceptance",
        ),
        ("task.json", lambda s: "{}", "lacks"),
    ],
)
def test_a_changed_folder_is_refused(folder, name, change, words):
    path = folder()
    edit(path, name, change)
    with pytest.raises(WinnerError, match=words):
        load(path)


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(WinnerError, match="nowhere"):
        load(tmp_path / "nowhere")


def test_only_accepted_candidates_become_winners(tmp_path):
    with pytest.raises(WinnerError, match="not accepted"):
        certify(TASK, Candidate(LIVE), rejected())
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("precious")
    with pytest.raises(WinnerError, match="no winner's folder"):
        save_winner(certify(TASK, None), tmp_path / "mine")
    assert (tmp_path / "mine" / "thesis.txt").exists()


def test_a_folder_comes_back_as_it_was(folder):
    path = folder(evaluation=accepted(2.5), summary="2.5x", run_id="r1")
    winner = read_winner(path)
    assert winner.task == TASK and winner.candidate.source == LIVE
    assert winner.evaluation == accepted(2.5)
    assert winner.certificate["run"] == "r1"
    assert sorted(p.name for p in path.iterdir()) == [
        "certificate.json",
        "kernel.py",
        "reference.py",
        "task.json",
    ]
    assert save_winner(winner, path) == path  # over the older one


def test_a_reference_that_won_is_said_plainly(tmp_path, inputs):
    path = save_winner(certify(TASK, None, summary="Nothing was faster"), tmp_path / "w")
    module = load(path)
    with torch.no_grad():
        torch.testing.assert_close(module(*inputs), module.reference(*inputs))
    assert "Nothing was faster" in module.explain()
    assert "no candidate was faster" in module.explain()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda m: m["cpu"].update(architecture="riscv64"), "proven was riscv64"),
        (lambda m: m["cpu"]["isa"].append("avx9000"), "lacks avx9000"),
    ],
)
def test_another_processor_runs_the_reference(folder, inputs, change, words):
    path = folder()
    certificate = json.loads((path / "certificate.json").read_text())
    change(certificate["machine"])
    (path / "certificate.json").write_text(json.dumps(certificate))
    module = load(path)
    with torch.no_grad():
        module(*inputs)
    assert kernel_calls(module) == 0 and words in module.explain()


def test_lesser_differences_are_noted(folder, inputs, caplog):
    path = folder()
    certificate = json.loads((path / "certificate.json").read_text())
    certificate["machine"]["torch"] = "1.0"
    certificate["machine"]["cpu"]["model"] = "Abacus"
    (path / "certificate.json").write_text(json.dumps(certificate))
    with caplog.at_level(logging.WARNING, "kernelmill"):
        module = load(path)
    assert "torch 1.0" in caplog.text and "Abacus" in caplog.text
    with torch.no_grad():
        module(*inputs)
    assert kernel_calls(module) == 1 and "torch 1.0" in module.explain()


def test_autocast_hooks_and_transforms_run_the_reference(folder, inputs):
    module = load(folder())
    with torch.no_grad():
        with torch.autocast("cpu", torch.bfloat16):
            assert module(*inputs).dtype == module.reference(*inputs).dtype
        assert "autocast" in module.explain()
        torch.func.vmap(lambda x: module(x, 2.0))(inputs[0].expand(2, 5, 4))
        assert kernel_calls(module) == 0
        handle = module.linear.register_forward_hook(lambda m, a, y: y + 1)
        torch.testing.assert_close(module(*inputs), module.reference(*inputs))
        assert "hooks" in module.explain() and kernel_calls(module) == 0
        handle.remove()
        module(*inputs)
        assert kernel_calls(module) == 1


def test_only_contiguous_where_only_such_was_proven(folder):
    from dataclasses import replace

    evaluation = replace(accepted(2.0), warnings=(Reason("contiguous_only", "refuses others"),))
    module = load(folder(evaluation=evaluation))
    with torch.no_grad():
        module(torch.randn(4, 5).t(), 2.0)
        assert kernel_calls(module) == 0 and "not contiguous" in module.explain()
        module(torch.randn(5, 4), 2.0)
    assert kernel_calls(module) == 1


DROPOUT = SOURCE.replace(
    "torch.relu(self.linear(x))",
    "torch.nn.functional.dropout(torch.relu(self.linear(x)), 0.5, self.training)",
)


def test_the_mode_matters_where_it_does(folder, inputs):
    task = Task("dropping", DROPOUT)
    module = load(folder(task=task, training=False))
    assert module.training is False
    with torch.no_grad():
        module(*inputs)
        assert kernel_calls(module) == 1
        module.train()
        assert module.reference.training
        module(*inputs)
        assert kernel_calls(module) == 1 and "train mode" in module.explain()
    module = load(folder())  # of a task that has no such thing
    with torch.no_grad():
        module.eval()(*inputs)
        module.train()(*inputs)
    assert kernel_calls(module) == 2


@pytest.mark.parametrize(
    ("layer", "matters"),
    [
        (torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.GELU()), False),
        (torch.nn.Sequential(torch.nn.Dropout(0.0)), False),
        (torch.nn.Sequential(torch.nn.Dropout(0.1)), True),
        (torch.nn.BatchNorm2d(3), True),
        (torch.nn.LSTM(2, 2, 2, dropout=0.1), True),
        (torch.nn.TransformerEncoderLayer(4, 2, 4), True),
        (torch.nn.MultiheadAttention(4, 2), False),
    ],
)
def test_which_layers_depend_on_the_mode(layer, matters):
    assert depends_on_mode(layer) is matters


def test_inside_a_larger_model(folder, inputs, tmp_path):
    class Net(torch.nn.Module):
        def __init__(self, block):
            super().__init__()
            self.block = block
            self.head = torch.nn.Linear(3, 2)

        def forward(self, x):
            return self.head(self.block(x, 2.0))

    from kernelmill.tasks import Program

    original = Program(TASK).make_model(seed=3)
    plain, fast = Net(original), Net(load(folder(), original))
    fast.head = plain.head
    assert list(plain.state_dict()) == list(fast.state_dict())
    state = {k: torch.randn_like(v) for k, v in plain.state_dict().items()}
    fast.load_state_dict(state)
    with torch.no_grad():
        torch.testing.assert_close(fast(inputs[0]), plain(inputs[0]))
    assert kernel_calls(fast.block) == 1
    torch.testing.assert_close(original.linear.weight.detach(), state["block.linear.weight"])
    assert [n for n, _ in fast.named_parameters()] == [n for n, _ in plain.named_parameters()]

    copied = copy.deepcopy(fast)
    with torch.no_grad():
        copied.block.linear.weight.zero_()
        assert original.linear.weight.abs().sum() > 0
        torch.testing.assert_close(copied(inputs[0]), copied.head(copied.block.reference(*inputs)))
    assert kernel_calls(copied.block) == 1


def test_pickling(folder, inputs):
    linear = torch.nn.Linear(4, 3)
    task = Task.from_module(linear, [inputs[0]])
    source = (
        "import torch\nclass ModelNew(torch.nn.Module):\n"
        "    def __init__(self):\n        super().__init__()\n"
        "        self.weight = torch.nn.Parameter(torch.zeros(3, 4))\n"
        "        self.bias = torch.nn.Parameter(torch.zeros(3))\n"
        "    def forward(self, x):\n        return x @ self.weight.t() + self.bias\n"
    )
    module = load(folder(source, task), linear)
    back = pickle.loads(pickle.dumps(module))
    with torch.no_grad():
        torch.testing.assert_close(back(inputs[0]), linear(inputs[0]))
    assert kernel_calls(back) == 1
    assert module.in_features == 4  # attributes of the original


def test_compiling_a_larger_model_goes_through_the_reference(folder, inputs):
    module = load(folder())
    compiled = torch.compile(module, backend="eager", fullgraph=True)
    with torch.no_grad():
        torch.testing.assert_close(compiled(*inputs), module.reference(*inputs))
    program = torch.export.export(module, inputs)
    torch.testing.assert_close(program.module()(*inputs), module.reference(*inputs))
