"""MultiKernelBench references, robust-kbench task folders, and Python objects by name."""

import json

import pytest
import torch

from kernelmill.tasks import Program, TaskError, list_configs, load_folder, load_task

NPU = """
import json
import os
import torch
import torch.nn as nn


class Model(nn.Module):
    def forward(self, x, weight=None, eps=1e-5):
        y = x * torch.rsqrt(x.float().pow(2).mean(-1, keepdim=True) + eps).to(x.dtype)
        return y if weight is None else y * weight


def get_input_groups():
    groups = []
    path = os.path.join(os.path.dirname(__file__), "rms.json")
    with open(path) as lines:
        for line in lines:
            group = []
            for spec in json.loads(line)["inputs"]:
                if spec["type"] == "attr":
                    group.append(spec["value"])
                elif not spec["required"] and spec["shape"] is None:
                    group.append(None)
                else:
                    group.append(torch.rand(spec["shape"]).to(getattr(torch, spec["dtype"])))
            groups.append(group)
    return groups


def get_init_inputs():
    return []
"""


def npu_line(shape, dtype, weight, eps):
    def tensor(name, required, shape):
        return {
            "name": name,
            "type": "tensor",
            "required": required,
            "dtype": dtype,
            "shape": shape,
        }

    eps = {"name": "eps", "type": "attr", "required": False, "dtype": "float", "value": eps}
    return json.dumps({"inputs": [tensor("x", True, shape), tensor("w", False, weight), eps]})


LINES = [
    npu_line([4, 8], "float32", [8], 1e-5),
    npu_line([3, 5], "float16", None, 1e-6),
    npu_line([7], "bfloat16", [7], 1e-3),
]


@pytest.fixture
def reference(tmp_path):
    folder = tmp_path / "reference" / "normalization"
    folder.mkdir(parents=True)
    (folder / "rms.py").write_text(NPU)
    (folder / "rms.json").write_text("\n".join(LINES))
    (folder / "__init__.py").write_text("")
    return tmp_path / "reference"


class TestMultiKernelBench:
    def test_groups_come_from_the_sibling(self, reference):
        (task,) = load_folder(reference)
        assert (task.name, task.category) == ("rms", "normalization")
        program = Program(task)
        assert program.groups == 3
        first, second, third = (program.make_inputs(0, group) for group in range(3))
        assert (first[0].dtype, first[1].shape, first[2]) == (torch.float32, (8,), 1e-5)
        assert (second[0].dtype, second[1]) == (torch.float16, None)
        assert third[0].dtype == torch.bfloat16
        for group in range(3):
            output = program.run(program.make_model(), program.make_inputs(0, group))
            assert program.estimate(group).output_specs[0].shape == output.shape

    def test_the_sibling_is_part_of_the_hash(self, reference):
        path = reference / "normalization" / "rms.py"
        before = load_task(path).hash
        path.with_suffix(".json").write_text(LINES[0])
        assert load_task(path).hash != before

    def test_missing_sibling(self, reference):
        (reference / "normalization" / "rms.json").unlink()
        program = Program(load_task(reference / "normalization" / "rms.py"))
        with pytest.raises(TaskError, match=r"line \d+: get_input_groups.. raised FileNotFound"):
            _ = program.groups


LINEAR_FORWARD = """
import torch
import torch.nn as nn
import torch.nn.functional as F


def forward_fn(x, weights, biases, slope):
    return F.leaky_relu(F.linear(x, weights, biases), slope)


class Model(nn.Module):
    def __init__(self, num_input_features, num_output_features, init_method, slope=0.1):
        super().__init__()
        self.weights = nn.Parameter(torch.empty(num_output_features, num_input_features))
        self.biases = nn.Parameter(torch.zeros(num_output_features))
        self.slope = slope
        init = {"xavier": nn.init.xavier_uniform_, "kaiming": nn.init.kaiming_uniform_}
        init[init_method](self.weights)

    def forward(self, x, fn=forward_fn):
        return fn(x, self.weights, self.biases, self.slope)


def get_inputs(batch_size, num_input_features):
    return [torch.randn(batch_size, num_input_features)]


input_names = ["x"]
"""

LINEAR_BACKWARD = (
    LINEAR_FORWARD.replace("slope):\n    return", "slope=0.1):\n    return").replace(
        "return [torch.randn(batch_size, num_input_features)]",
        "return [torch.randn(batch_size, num_input_features, requires_grad=True)]",
    )
    + """

class AutogradFunction(torch.autograd.Function):
    backward_fn = None

    @staticmethod
    def forward(ctx, x, weights, biases, slope):
        ctx.save_for_backward(x, weights)
        return forward_fn(x, weights, biases, slope)

    @staticmethod
    def backward(ctx, grad):
        return (*AutogradFunction.backward_fn(grad, *ctx.saved_tensors), None)
"""
)

CONFIG = {
    "single_input_configs": [{"batch_size": 64}],
    "single_init_configs": [{"num_output_features": 10, "init_method": "kaiming"}],
    "single_shared_configs": [{"num_input_features": 12}],
    "multi_input_configs": [{"batch_size": 64}, {"batch_size": 4}],
    "multi_init_configs": [
        {"num_output_features": 10, "init_method": "kaiming"},
        {"num_output_features": 40, "init_method": "xavier"},
    ],
    "multi_shared_configs": [{"num_input_features": 12}, {"num_input_features": 20}],
}


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "mnist_linear"
    path.mkdir()
    for direction, text in (("forward", LINEAR_FORWARD), ("backward", LINEAR_BACKWARD)):
        (path / f"func_{direction}.py").write_text(text)
        (path / f"config_{direction}.json").write_text(json.dumps(CONFIG))
    return path


class TestRobustKBench:
    def test_expansion(self, folder):
        assert [config.init for config in list_configs(folder)] == [
            {"num_output_features": 10, "init_method": "kaiming", "num_input_features": 12}
        ]
        both = list_configs(folder, "forward", multi_input=True, multi_init=True)
        assert len(both) == 8
        order = [
            (c.init["num_output_features"], c.inputs["batch_size"], c.init["num_input_features"])
            for c in both
        ]
        assert order == [(o, b, n) for o in (10, 40) for b in (64, 4) for n in (12, 20)]
        assert all(c.init["num_input_features"] == c.inputs["num_input_features"] for c in both)
        # one switch alone keeps the single shared list
        assert len(list_configs(folder, multi_input=True)) == 2
        assert len(list_configs(folder, multi_init=True)) == 2

    def test_shared_values_win_and_duplicates_go(self, folder):
        config = {
            "single_input_configs": [{"batch_size": 1, "n": 2}, {"batch_size": 1, "n": 3}],
            "single_init_configs": [{"kernel_size": 2}],
            "single_shared_configs": [{"n": 5}],
        }
        (folder / "config_forward.json").write_text(json.dumps(config))
        (only,) = list_configs(folder)
        assert only.inputs == {"batch_size": 1, "n": 5}
        assert only.init == {"kernel_size": 2, "n": 5}
        assert only.key == "kernel_size_2_n_5_batch_size_1_n_5"

    def test_key_text(self, folder):
        config = {"single_init_configs": [{"eps": 1e-8, "mode": "a b"}]}
        (folder / "config_forward.json").write_text(json.dumps(config))
        assert list_configs(folder)[0].key == "eps_1e_08_mode_a_b"

    def test_task_runs_and_can_be_shrunk(self, folder):
        task = load_task(folder)
        program = Program(task)
        assert task.name == "mnist_linear" and not task.backward
        assert program.run(program.make_model(0), program.make_inputs(0)).shape == (64, 10)
        small = Program(task, {"batch_size": 3, "num_input_features": 5})
        assert small.run(small.make_model(0), small.make_inputs(0)).shape == (3, 10)
        assert set(program.axes) == {"batch_size", "num_input_features"}
        assert set(small.make_model().state_dict()) == {"weights", "biases"}

    def test_configurations_become_groups(self, folder):
        program = Program(load_task(folder, multi_input=True, multi_init=True))
        assert program.groups == 2
        assert [program.make_inputs(group=g)[0].shape[0] for g in range(2)] == [64, 4]
        program = Program(load_task(folder, multi_input=True, multi_init=True, config=6))
        assert program.make_model().weights.shape == (40, 12)
        with pytest.raises(TaskError, match="no configuration 99; ids are 0 to 0"):
            load_task(folder, config=99)

    def test_backward(self, folder):
        task = load_task(folder, direction="backward")
        assert task.backward and task.name == "mnist_linear_backward"
        program = Program(task)
        model, inputs = program.make_model(0), program.make_inputs(0)
        program.run(model, inputs).sum().backward()
        assert inputs[0].grad is not None and model.weights.grad is not None

    def test_folder_of_folders(self, folder):
        tasks = load_folder(folder.parent, multi_input=True, multi_init=True)
        assert [task.name for task in tasks] == [
            f"mnist_linear{middle}_{number}" for middle in ("", "_backward") for number in range(4)
        ]
        for task in tasks:
            program = Program(task)
            program.run(program.make_model(0), program.make_inputs(0, program.groups - 1))

    def test_argument_that_the_model_does_not_take(self, folder):
        config = {**CONFIG, "single_init_configs": [{"kernel_size": 2}]}
        (folder / "config_forward.json").write_text(json.dumps(config))
        program = Program(load_task(folder))
        with pytest.raises(TaskError, match="'kernel_size'|num_output_features.*signature"):
            program.make_model()

    def test_missing_direction_and_broken_json(self, folder):
        (folder / "func_backward.py").unlink()
        with pytest.raises(TaskError, match="no direction 'backward'.*available: forward"):
            load_task(folder, direction="backward")
        (folder / "config_forward.json").write_text('{"a": 1,\n')
        with pytest.raises(TaskError, match="config_forward.json: line 2: not valid JSON"):
            load_task(folder)
        (folder / "config_forward.json").unlink()
        with pytest.raises(TaskError, match="cannot read .*config_forward.json: No such file"):
            load_task(folder)

    def test_direction_is_refused_for_files(self, reference):
        with pytest.raises(TaskError, match="belong to robust-kbench"):
            load_task(reference / "normalization" / "rms.py", direction="forward")


OBJECTS = """
import torch
import torch.nn as nn


class Net(nn.Module):
    def __init__(self, width=4):
        super().__init__()
        self.linear = nn.Linear(width, 2)

    def forward(self, x):
        return torch.tanh(self.linear(x))


net = Net()
pair = (nn.ReLU(), [torch.randn(5, 6)])


def gelu(x):
    return x * torch.sigmoid(1.702 * x)


def get_inputs():
    return [torch.randn(3, 4)]


number = 3
"""


class TestObjects:
    @pytest.fixture(autouse=True)
    def module(self, tmp_path, monkeypatch):
        (tmp_path / "zoo_of_tests.py").write_text(OBJECTS)
        monkeypatch.chdir(tmp_path)

    @pytest.mark.parametrize("place", ["zoo_of_tests", "zoo_of_tests.py"])
    @pytest.mark.parametrize(
        ("attribute", "shape"),
        [("net", (3, 2)), ("Net", (3, 2)), ("pair", (5, 6)), ("gelu", (3, 4))],
    )
    def test_module_class_function_pair(self, place, attribute, shape):
        task = load_task(f"{place}:{attribute}")
        assert task.name == attribute
        program = Program(task)
        assert program.run(program.make_model(0), program.make_inputs(0)).shape == shape

    @pytest.mark.parametrize(
        ("spec", "message"),
        [
            ("zoo_of_tests:missing", "has no attribute 'missing'"),
            ("zoo_of_tests:number", "is a int; want a module"),
            ("no_such_package_x:net", "No module named"),
            ("a/b:net", "no such file"),
            ("zoo.py:net", "no such file"),
        ],
    )
    def test_refusals(self, spec, message):
        with pytest.raises(TaskError, match=message):
            load_task(spec)

    def test_no_inputs(self, tmp_path):
        (tmp_path / "lone_of_tests.py").write_text("import torch\nf = torch.relu\n")
        with pytest.raises(TaskError, match="no inputs; define get_inputs"):
            load_task("lone_of_tests:f")
