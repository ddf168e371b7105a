"""Tasks of live modules: same values, same state names, fresh inputs of the same kind."""

import collections
import copy

import pytest
import torch
import torch.nn as nn

from kernelmill.tasks import Program, Task, TaskError
from kernelmill.tasks.export import task_from_module
from kernelmill.tasks.tensor_source import Vault, drawn, laid_out


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU())
        self.a = nn.Linear(8, 8, bias=False)
        self.b = nn.Linear(8, 8)
        self.b.weight = self.a.weight
        self.register_buffer("mask", torch.ones(24, 24).tril())
        self.register_buffer("table", torch.randn(200), persistent=False)
        self.register_buffer("order", torch.randperm(50))
        self.frozen = nn.Parameter(torch.randn(8), requires_grad=False)

    def forward(self, x, scale=2, other=None):
        x = self.layers(x).mean((2, 3))
        y = self.b(self.a(x)) * scale + self.frozen + torch.arange(8, device=x.device)
        if other is not None:
            y = y + other["bias"] + other["list"][0]
        return {"y": y, "nested": (x, [y * 2, self.table.sum()]), "mask": self.mask.sum(-1)}


def same_state(module, task):
    model = Program(task).make_model(1)
    state = module.state_dict()
    assert list(model.state_dict()) == list(state)
    for name, value in model.state_dict().items():
        assert (value.shape, value.dtype) == (state[name].shape, state[name].dtype), name
    grads = {name: p.requires_grad for name, p in module.named_parameters()}
    assert {name: p.requires_grad for name, p in model.named_parameters()} == grads
    model.load_state_dict(state)
    return model


def leaves(output):
    return torch.utils._pytree.tree_leaves(output)


def check(module, args, **fields):
    task = task_from_module(module, args, **fields)
    model = same_state(module, task)
    args = list(args) if isinstance(args, list | tuple) else [args]
    torch.manual_seed(3)
    expected = copy.deepcopy(module)(*args)
    torch.manual_seed(3)
    found = model(*args)
    assert type(found) is type(expected)
    for a, b in zip(leaves(found), leaves(expected), strict=True):
        torch.testing.assert_close(a, b)
    return task, model


@pytest.mark.parametrize("training", [True, False])
def test_state_structure_and_mode(training):
    torch.manual_seed(0)
    module = Block().train(training)
    before = copy.deepcopy(module.state_dict())
    task, model = check(module, [torch.randn(2, 3, 10, 10)])
    assert model.b.weight is model.a.weight
    moved = not torch.equal(model.layers.get_submodule("1").running_mean, torch.zeros(8))
    assert moved == training
    after = module.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())
    assert module.training == training
    assert isinstance(model(torch.randn(2, 3, 10, 10)), dict)
    fresh = Program(task).make_model(5)
    assert torch.equal(fresh.mask, module.mask) and torch.equal(fresh.order, module.order)
    assert not torch.equal(fresh.a.weight, module.a.weight)
    assert fresh.frozen.std() < 3 * module.frozen.std()


def test_keywords_and_nested_inputs_become_positional():
    module = Block()
    inputs = {
        "x": torch.randn(2, 3, 10, 10),
        "other": {"bias": torch.randn(8), "list": [torch.randint(2, 9, (8,))]},
    }
    program = Program(task_from_module(module, inputs, name="block"))
    drawn_inputs = program.make_inputs(0)
    assert [type(value) for value in drawn_inputs] == [torch.Tensor, int, dict]
    assert drawn_inputs[1] == 2 and 2 <= drawn_inputs[2]["list"][0].min()
    model = program.make_model()
    model.load_state_dict(module.state_dict())
    expected = copy.deepcopy(module)(*drawn_inputs)
    for a, b in zip(leaves(model(*drawn_inputs)), leaves(expected), strict=True):
        torch.testing.assert_close(a, b)


def test_attention_dropout_and_layer_norm():
    layer = nn.TransformerEncoderLayer(16, 4, 32, dropout=0.2, batch_first=True)
    check(layer, [torch.randn(2, 5, 16)])


def test_recurrent_network_with_tuple_output():
    check(nn.GRU(4, 6, 2), [torch.randn(5, 2, 4)])


def test_double_and_half_parameters():
    check(nn.Linear(3, 2, dtype=torch.float64), [torch.randn(4, 3, dtype=torch.float64)])
    check(nn.Linear(3, 2, dtype=torch.bfloat16), [torch.randn(4, 3, dtype=torch.bfloat16)])


def test_functions():
    def residual_relu(x, y):
        return torch.relu(x) + y, None

    task, _ = check_function(residual_relu, [torch.randn(3), torch.randn(3)])
    assert task.name == "residual_relu"


def check_function(function, args):
    task = task_from_module(function, args)
    model = Program(task).make_model()
    for a, b in zip(leaves(model(*args)), leaves(function(*args)), strict=True):
        torch.testing.assert_close(a, b)
    return task, model


def test_named_tuples_and_other_mappings_are_plain():
    Pair = collections.namedtuple("Pair", "a b")  # noqa: PYI024

    def function(x):
        return collections.OrderedDict(p=Pair(x + 1, x * 2), q=x)

    model = Program(task_from_module(function, torch.randn(3))).make_model()
    output = model(torch.ones(3))
    assert type(output) is dict and output["p"][1].tolist() == [2.0, 2.0, 2.0]


def test_gradients_flow():
    module = nn.Sequential(nn.Linear(4, 3), nn.GELU())
    task = task_from_module(module, torch.randn(2, 4, requires_grad=True))
    program = Program(task)
    model, inputs = program.make_model(0), program.make_inputs(0)
    model.load_state_dict(module.state_dict())
    model(*inputs).sum().backward()
    module(*[x.detach() for x in inputs]).sum().backward()
    torch.testing.assert_close(model.get_parameter("0.weight").grad, module[0].weight.grad)
    assert inputs[0].grad is not None


class ReadsValues(nn.Module):
    """Cannot be exported: control flow on values."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 3)

    def forward(self, x):
        return self.linear(x) if x.sum().item() > 0 else x


def test_what_cannot_be_exported_is_pickled():
    module = ReadsValues()
    task = task_from_module(module, torch.rand(2, 3))
    assert task.payload and "pickled" in task.source
    model = same_state(module, task)
    for x in (torch.ones(2, 3), -torch.ones(2, 3)):
        torch.testing.assert_close(model(x), module(x))
    model.load_state_dict({"linear.weight": torch.zeros(3, 3), "linear.bias": torch.ones(3)})
    assert model(torch.ones(1, 3)).tolist() == [[1.0, 1.0, 1.0]]
    assert model.double()(torch.ones(1, 3).double()).dtype == torch.float64
    assert Program(task).make_model().linear.weight.abs().sum() > 0
    assert task.hash != Task(task.name, task.source).hash


def test_what_can_be_neither_is_refused():
    class Local(ReadsValues):
        pass

    with pytest.raises(TaskError, match="cannot be exported .* nor pickled .*top level"):
        task_from_module(Local(), torch.rand(2, 3))


@pytest.mark.parametrize(
    ("module", "inputs", "message"),
    [
        (3, [], "module is a int"),
        (nn.Linear(3, 2), [torch.ones(4)], "Linear: fails on the given inputs"),
        (nn.Linear(3, 2), 4, "inputs is a int"),
        (nn.Linear(3, 2), [torch.ones(3), 1], "do not fit its signature"),
        (nn.Linear(3, 2), {"y": torch.ones(3)}, "do not fit its signature"),
        (lambda x, f: f(x), [torch.ones(3), torch.relu], "argument 1 is a builtin_function"),
    ],
)
def test_bad_arguments(module, inputs, message):
    with pytest.raises(TaskError, match=message):
        task_from_module(module, inputs)


class TestDraws:
    def draw(self, tensor):
        vault = Vault()
        text = laid_out(drawn(tensor, vault), tensor)
        value = eval(text, {"torch": torch, "_saved": vault.tensors})
        assert (value.shape, value.dtype) == (tensor.shape, tensor.dtype)
        return value

    def test_distributions(self):
        torch.manual_seed(0)
        normal = torch.randn(4000) * 3 - 7
        value = self.draw(normal)
        assert abs(value.mean() + 7) < 0.3 and abs(value.std() - 3) < 0.3
        assert not torch.equal(value, normal)
        uniform = self.draw(torch.rand(4000))
        assert 0 <= uniform.min() and uniform.max() <= 1 and abs(uniform.std() - 0.2887) < 0.02
        positive = torch.randn(4000).exp()
        assert self.draw(positive).min() > 0
        assert 0.05 < self.draw(torch.rand(4000) < 0.1).float().mean() < 0.15
        whole = self.draw(torch.randint(3, 9, (4000,), dtype=torch.int32))
        assert (whole.min(), whole.max()) == (3, 8)
        half = self.draw((torch.randn(4000) * 2).half())
        assert abs(half.float().std() - 2) < 0.2

    @pytest.mark.parametrize(
        "tensor",
        [
            torch.full((3, 4), 2.5),
            torch.tensor(3.0),
            torch.tensor([0, 3, 3, 8, 15]),
            torch.arange(1000),
            torch.ones(30, 30).tril(),
            torch.ones(2, 30, 30).triu(1).bool(),
            torch.arange(80) < torch.tensor([[3], [80], [17]]),
            torch.zeros(0, 3),
            torch.ones(40, 40).triu(1) * float("-inf"),
        ],
        ids=lambda t: f"{tuple(t.shape)}-{t.dtype}",
    )
    def test_structure_is_kept(self, tensor):
        assert torch.equal(self.draw(tensor).nan_to_num(), tensor.nan_to_num())

    def test_layout_is_kept(self):
        last = torch.randn(2, 3, 4, 5).contiguous(memory_format=torch.channels_last)
        assert self.draw(last).stride() == last.stride()
        turned = torch.randn(4, 6, 5).permute(2, 0, 1)
        assert self.draw(turned).stride() == turned.stride()
