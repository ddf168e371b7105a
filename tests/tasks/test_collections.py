"""Categories, the library's tasks, suites, and the shipped examples."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from kernelmill.tasks import Program, Suite, Task, TaskError, load_folder, load_task
from kernelmill.tasks.category import CATEGORIES, category_of_operators
from kernelmill.tasks.library import library_tasks

EXAMPLES = Path(__file__).parents[2] / "examples" / "tasks"
NAMES = sorted(path.stem for path in EXAMPLES.glob("*.py"))

EXPECTED = {
    "softmax": "softmax",
    "layer_norm": "norm",
    "layer_norm_2d": "norm",
    "rms_norm": "norm",
    "group_norm_swish": "norm",
    "gelu_chain": "activation",
    "matmul_epilogue": "fused",
    "conv_bn_relu": "fused",
    "sppf_pool": "pool",
    "pool_chain": "pool",
    "cross_entropy_loss": "loss",
    "focal_loss": "loss",
    "gated_scan": "scan",
    "masked_cumsum": "scan",
    "window_attention": "attention",
    "inceptionnext_block": "network",
}


@pytest.mark.parametrize("name", NAMES)
def test_examples_run_and_can_be_tested_elsewhere(name):
    program = Program(load_task(EXAMPLES / f"{name}.py"))
    cost = program.estimate()
    program.check_memory(64 << 20)
    assert program.axes
    assert program.category in CATEGORIES
    assert program.category == EXPECTED.get(name, program.category)
    with torch.no_grad():
        output = program.run(program.make_model(0), program.make_inputs(0))
    found = torch.utils._pytree.tree_leaves(output)
    assert [tuple(t.shape) for t in found] == [spec.shape for spec in cost.output_specs]
    for tensor in found:
        assert torch.isfinite(tensor).all() and tensor.std() > 1e-3 * tensor.abs().max()


def test_examples_cover_what_the_project_promises():
    assert len(NAMES) >= 14 and set(EXPECTED) <= set(NAMES)
    assert [task.name for task in load_folder(EXAMPLES)] == NAMES


@pytest.mark.parametrize(
    ("operators", "options", "expected"),
    [
        (["aten.mm"], {}, "matmul"),
        (["aten.convolution"], {}, "conv"),
        (["aten.convolution", "aten.relu"], {}, "fused"),
        (["aten._softmax"], {}, "softmax"),
        (["aten.bmm", "aten._softmax", "aten.bmm"], {}, "attention"),
        (["aten.sum"], {}, "reduce"),
        (["aten.mul", "aten.sum"], {"scalar_output": True, "inputs": 2}, "loss"),
        (["aten.pow", "aten.mean", "aten.rsqrt", "aten.mul"], {}, "norm"),
        (["aten.upsample_bilinear2d"], {}, "resize"),
        (["aten.max_pool2d_with_indices"], {}, "pool"),
        (["aten.max"], {}, "reduce"),
        (["aten.index_add"], {}, "index"),
        (["aten.relu"], {}, "activation"),
        ([], {}, "other"),
        (["aten.convolution", "aten.relu"] * 9, {}, "network"),
    ],
)
def test_categories(operators, options, expected):
    assert category_of_operators(operators, **options) == expected


def test_a_given_category_stays():
    task = load_task(EXAMPLES / "softmax.py", category="mine")
    assert Program(task).category == "mine"


class TestLibrary:
    tasks = library_tasks(bench=False)

    def test_every_operator_has_tasks(self):
        from kernelmill.ops.registry import operators

        assert {name.partition(".")[0] for name in self.tasks} == set(operators())

    @pytest.mark.parametrize("name", tasks)
    def test_reference_is_what_runs(self, name):
        from kernelmill.ops.registry import operators

        task = self.tasks[name]
        program = Program(task)
        program.run(program.make_model(0), program.make_inputs(0))
        operator = operators()[name.partition(".")[0]]
        (example,) = [e for e in operator.examples if e.name == name.partition(".")[2]]
        values = example(seed=0)
        tensors = [v for v in values.values() if isinstance(v, torch.Tensor)]
        specs = [spec for spec in program.estimate().input_specs if spec.is_tensor]
        shapes = sorted(tuple(t.shape) for t in tensors)
        assert sorted(spec.shape for spec in specs) == shapes

    def test_bench_sizes_are_apart(self):
        assert not set(library_tasks(bench=True)) & set(self.tasks)


class TestSuite:
    def test_names_are_unique(self):
        with pytest.raises(TaskError, match="two tasks are named 'a'"):
            Suite("s", "1", (Task("a", "1"), Task("a", "2")))

    def test_hash_is_of_the_content(self):
        a, b = Task("a", "1"), Task("b", "2")
        assert Suite("s", "1", (a, b)).hash == Suite("t", "2", (b, a)).hash
        assert Suite("s", "1", (a,)).hash != Suite("s", "1", (a, b)).hash

    def test_from_folder(self):
        suite = Suite.from_folder(EXAMPLES, name="examples")
        assert len(suite) == len(NAMES) and suite["softmax"].name == "softmax"
        with pytest.raises(KeyError):
            suite["none"]


def test_importing_tasks_is_light():
    code = "import sys, kernelmill.tasks; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
