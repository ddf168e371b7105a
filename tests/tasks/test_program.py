"""Executing task files: overrides, quirks, variants, cost, and what is said of broken files."""

import random
import textwrap

import pytest
import torch

from kernelmill.tasks import Program, Task, TaskError, load_folder, load_task, parse_overrides
from kernelmill.tasks.program import quiet_rng

HEAD = "import torch\nimport torch.nn as nn\n"
RELU = "class Model(nn.Module):\n    def forward(self, *xs):\n        return torch.relu(xs[0])\n"


def task(body, name="t", head=HEAD, **fields):
    return Task(name, head + textwrap.dedent(body), **fields)


def relu(body, **fields):
    return task(RELU + textwrap.dedent(body), **fields)


QUIRKS = """
batch_size_: int = 4
features, (height, widths) = 8, (3, [5, 7])
a = b = 6
if features > 4:
    scale = 2.0
else:
    scale = 1.0
total = batch_size_ * features
mode: str = "mean"
ratio = 1.5e-3
negative = -1
shape = (2, 3)
shape_ = (features,) + shape
count = 2
count *= 3
flag = True
nothing = None


def helper(n=batch_size_):
    inner = 99
    return n


class Model(nn.Module):
    constant = 5

    def forward(self, x):
        return x


def get_inputs():
    return [torch.ones(batch_size_, features)]


if __name__ == "__main__":
    hidden = 3
    raise SystemExit("not to be run")
"""


class TestOverrides:
    def test_constants_are_found_with_values(self):
        program = Program(task(QUIRKS))
        assert program.constants == {
            "batch_size_": 4, "features": 8, "height": 3, "widths": [5, 7], "a": 6, "b": 6,
            "scale": 1.0, "mode": "mean", "ratio": 1.5e-3, "negative": -1, "shape": (2, 3),
            "flag": True, "nothing": None,
        } | {"scale": 2.0}  # fmt: skip
        assert program.derived == {"total": 32, "shape_": (8, 2, 3), "count": 6}

    @pytest.mark.parametrize(
        ("overrides", "expected"),
        [
            ({"batch_size_": 7}, {"batch_size_": 7, "total": 56}),
            ({"features": 2}, {"features": 2, "total": 8, "scale": 1.0, "shape_": (2, 2, 3)}),
            ({"height": 11}, {"height": 11, "features": 8}),
            ({"widths": (1, 2, 3)}, {"widths": [1, 2, 3]}),
            ({"a": 1}, {"a": 1, "b": 6}),
            ({"scale": 3}, {"scale": 3.0}),
            ({"total": 5}, {"total": 5, "features": 8}),
            ({"count": 10}, {"count": 10}),
            ({"mode": "sum", "flag": False}, {"mode": "sum", "flag": False}),
            ({"nothing": 4}, {"nothing": 4}),
            ({"shape": [9]}, {"shape": (9,), "shape_": (8, 9)}),
        ],
    )
    def test_derived_values_follow(self, overrides, expected):
        namespace = Program(task(QUIRKS), overrides).namespace
        for name, value in expected.items():
            assert namespace[name] == value
            assert type(namespace[name]) is type(value)

    def test_default_arguments_follow(self):
        assert Program(task(QUIRKS), {"batch_size_": 9}).namespace["helper"]() == 9

    def test_task_overrides_apply_and_yield_to_the_later(self):
        fixed = task(QUIRKS, overrides={"batch_size_": 5, "features": 2})
        program = Program(fixed, {"features": 3})
        assert program.make_inputs()[0].shape == (5, 3)
        assert program.with_overrides({"batch_size_": 1}).make_inputs()[0].shape == (1, 3)

    @pytest.mark.parametrize(
        ("overrides", "message"),
        [
            ({"batchsize": 1}, "no constant 'batchsize'.*batch_size_.*did you mean batch_size_"),
            ({"inner": 1}, "no constant 'inner'"),
            ({"hidden": 1}, "no constant 'hidden'"),
            ({"features": 2.5}, "features=2.5 does not fit: features is an integer .now 8"),
            ({"features": True}, "is an integer"),
            ({"mode": 1}, "is a string"),
            ({"flag": 1}, "is True or False"),
            ({"widths": 3}, "is a list"),
            ({"widths": [1.5]}, "is an integer"),
            ({"scale": "x"}, "is a number"),
        ],
    )
    def test_wrong_names_and_types_are_refused(self, overrides, message):
        with pytest.raises(TaskError, match=message):
            Program(task(QUIRKS), overrides)

    def test_a_tensor_is_no_constant(self):
        text = relu("weights = torch.ones(3)\ndef get_inputs():\n    return [weights]\n")
        with pytest.raises(TaskError, match="weights is not a constant but a Tensor"):
            Program(text, {"weights": 3})

    def test_settings_of_the_command_line(self):
        assert parse_overrides(["a=1", "b = [1, 2]", "c=1e-3", "d=True"]) == {
            "a": 1, "b": [1, 2], "c": 1e-3, "d": True,
        }  # fmt: skip
        for bad in ("a", "=3", "2a=1"):
            with pytest.raises(TaskError, match="NAME=VALUE"):
                parse_overrides([bad])


class TestForms:
    def test_scalars_targets_and_nested_arguments_are_kept(self):
        program = Program(
            task(
                """
                class Model(nn.Module):
                    def __init__(self, sizes, options, name):
                        super().__init__()
                        self.sizes, self.options, self.name = sizes, options, name
                    def forward(self, x, s, t, size):
                        return (x * s, [t, {"n": x.sum()}]), self.sizes
                def get_inputs():
                    return [torch.rand(2, 3), 3.14, torch.randint(0, 3, (2,)), [4, 5]]
                def get_init_inputs():
                    return [[2, [3, 4]], {"a": (1, 2)}, "mean"]
                """
            )
        )
        model, inputs = program.make_model(0), program.make_inputs(0)
        assert model.sizes == [2, [3, 4]] and model.options == {"a": (1, 2)}
        assert inputs[1] == 3.14 and inputs[2].dtype == torch.int64 and inputs[3] == [4, 5]
        assert program.estimate().structure == "nested"

    def test_keywords(self):
        text = """
            class Model(nn.Module):
                def __init__(self, a, b=2, c=3):
                    super().__init__()
                    self.values = (a, b, c)
                def forward(self, x, y=None, scale=1.0):
                    return x * scale if y is None else x + y
            def get_inputs():
                return {"x": torch.ones(2), "scale": 3.0}
            def get_init_inputs():
                return INIT
            """
        for init, values in [
            ("{'a': 1, 'c': 5}", (1, 2, 5)),
            ("[[1, 7], {'c': 5}]", ([1, 7], {"c": 5}, 3)),  # fits as it is
            ("(4,)", (4, 2, 3)),
        ]:
            program = Program(task(text.replace("INIT", init)))
            assert program.make_model().values == values
            assert program.make_inputs()[1:] == [None, 3.0]
            assert program.run(program.make_model(), program.make_inputs()).tolist() == [3.0, 3.0]
        text = text.replace("def __init__(self, a, b=2, c=3):", "def __init__(self, a, *, c=3):")
        text = text.replace("(a, b, c)", "(a, c)")
        program = Program(task(text.replace("INIT", "{'a': 1, 'z': 5}")))
        with pytest.raises(TaskError, match=r"unexpected keyword argument 'z'.*signature is Model"):
            program.make_model()

    def test_pair_of_args_and_kwargs_only_where_the_list_does_not_fit(self):
        program = Program(
            task(
                """
                class Model(nn.Module):
                    def __init__(self, a, b, c):
                        super().__init__()
                        self.values = (a, b, c)
                    def forward(self, x):
                        return x
                def get_inputs():
                    return [torch.ones(1)]
                def get_init_inputs():
                    return [[1, 2], {"c": 3}]
                """
            )
        )
        assert program.make_model().values == (1, 2, 3)

    def test_train_mode_stays(self):
        program = Program(
            task(
                """
                class Model(nn.Module):
                    def __init__(self):
                        super().__init__()
                        self.bn = nn.BatchNorm1d(3)
                    def forward(self, x):
                        return self.bn(x)
                def get_inputs():
                    return [torch.randn(8, 3) + 5]
                """
            )
        )
        model = program.make_model()
        program.run(model, program.make_inputs(0))
        assert model.training and model.bn.running_mean.mean() > 0.3

    def test_input_groups(self):
        program = Program(
            relu(
                """
                n = 3
                def get_input_groups():
                    kinds = (1, torch.float16), (2, torch.float32)
                    groups = [[torch.rand(n, k).to(d), None, 2] for k, d in kinds]
                    return groups + [(torch.rand(()),)]
                """
            )
        )
        assert program.groups == 3
        assert program.make_inputs(0, 1)[0].shape == (3, 2)
        assert program.make_inputs(0, 0)[0].dtype == torch.float16
        assert program.make_inputs(0, 2)[0].shape == ()
        assert set(program.axes) == {"n"}
        with pytest.raises(TaskError, match="no input group 3"):
            program.make_inputs(0, 3)

    def test_randomness_outside_torch_is_seeded(self):
        program = Program(
            relu(
                """
                import random
                import numpy as np
                def get_inputs():
                    return [torch.tensor([random.random(), np.random.rand()])]
                """
            )
        )
        with quiet_rng():
            first, second = program.make_inputs(3)[0], program.make_inputs(4)[0]
            assert torch.equal(first, program.make_inputs(3)[0])
        assert not torch.equal(first, second)

    def test_classes_that_need_their_module(self):
        program = Program(
            task(
                """
                import dataclasses
                import inspect
                @dataclasses.dataclass
                class Config:
                    width: int = 3
                class Model(nn.Module):
                    def __init__(self, config):
                        super().__init__()
                        self.source = inspect.getsource(Model)
                    def forward(self, x):
                        return x
                def get_inputs():
                    return [torch.ones(1)]
                def get_init_inputs():
                    return [Config()]
                """,
                head="from __future__ import annotations\n" + HEAD,
            )
        )
        assert "getsource(Model)" in program.make_model().source


class TestSiblings:
    def test_import_from_the_folder_and_forget(self, tmp_path):
        found = []
        for value in (1, 2):
            folder = tmp_path / str(value)
            folder.mkdir()
            (folder / "shapes.py").write_text(f"n = {value}\n")
            (folder / "a.py").write_text(
                HEAD + "from shapes import n\n" + RELU + "def get_inputs():\n"
                "    import shapes\n    return [torch.ones(n, shapes.n)]\n"
            )
            found.append(Program(load_task(folder / "a.py")).make_inputs()[0].shape)
        assert found == [(1, 1), (2, 2)]

    def test_installed_modules_come_first(self, tmp_path):
        (tmp_path / "json.py").write_text("raise RuntimeError('shadowed')\n")
        (tmp_path / "a.py").write_text(
            HEAD + "import json\n" + RELU + "def get_inputs():\n    return [torch.ones(1)]\n"
        )
        Program(load_task(tmp_path / "a.py"))


class TestVariants:
    def program(self, **fields):
        return Program(
            task(
                """
                batch, dim, heads, classes = 64, 96, 8, 10
                class Model(nn.Module):
                    def __init__(self, dim, heads, classes):
                        super().__init__()
                        self.heads = heads
                        self.linear = nn.Linear(dim, classes)
                    def forward(self, x, target):
                        y = x.view(x.shape[0], self.heads, -1).softmax(-1).flatten(1)
                        return nn.functional.cross_entropy(self.linear(y), target)
                def get_inputs():
                    return [torch.randn(batch, dim), torch.randint(0, classes, (batch,))]
                def get_init_inputs():
                    return [dim, heads, classes]
                """,
                **fields,
            )
        )

    def test_axes_know_steps_and_parameters(self):
        axes = self.program().axes_info
        assert set(axes) == {"batch", "dim"}
        assert (axes["batch"].step, axes["batch"].parameters) == (1, False)
        assert (axes["dim"].step, axes["dim"].parameters) == (8, True)

    def test_variants_run_and_differ(self):
        program = self.program()
        variants = program.variants(random.Random(0), count=4)
        assert len(variants) == 4
        assert len({tuple(sorted(v.items())) for v in variants}) == 4
        for variant in variants:
            other = Program(program.task, variant)
            inputs = other.make_inputs(0)
            assert inputs[0].shape != (64, 96) and inputs[0].shape[1] % 8 == 0
            assert torch.isfinite(other.run(other.make_model(0), inputs))
        assert any(v.get("batch", 64) % 2 for v in variants)

    def test_seeded(self):
        program = self.program()
        first = program.variants(random.Random(1))
        assert first == program.variants(random.Random(1))
        assert any(first != program.variants(random.Random(seed)) for seed in range(2, 6))

    def test_large_problems_are_shrunk(self):
        program = Program(task(QUIRKS.replace("batch_size_: int = 4", "batch_size_: int = 2**28")))
        variants = program.variants(random.Random(0), max_elements=5000)
        assert variants
        for variant in variants:
            assert Program(program.task, variant).make_inputs()[0].numel() <= 2500

    def test_indices_that_leave_the_range_are_no_variant(self):
        program = Program(
            task(
                """
                rows = 100
                class Model(nn.Module):
                    def forward(self, x, index):
                        return x[index]
                def get_inputs():
                    return [torch.rand(rows, 2), torch.randint(90, 100, (50,))]
                """
            )
        )
        for seed in range(4):
            assert all(v["rows"] >= 100 for v in program.variants(random.Random(seed)))

    def test_declared_axes(self):
        assert set(self.program(axes=("batch",)).axes) == {"batch"}
        assert self.program(axes=()).axes == {}
        assert self.program(axes=()).variants(random.Random(0)) == []
        with pytest.raises(TaskError, match="axis 'rows' is no positive integer constant"):
            _ = self.program(axes=("rows",)).axes

    def test_references_that_read_values(self):
        program = Program(
            task(
                """
                batch, width = 6, 4
                class Model(nn.Module):
                    def forward(self, x):
                        return x * x.max().item() if x.sum().item() > 0 else x
                def get_inputs():
                    return [torch.rand(batch, width)]
                """
            )
        )
        assert program.estimate() is None
        program.check_memory(1)
        assert set(program.axes) == {"batch", "width"}
        assert program.variants(random.Random(0))


def test_tracing_leaves_the_generators_alone():
    program = TestVariants().program()
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    program.estimate()
    assert program.axes and program.variants(random.Random(0))
    assert torch.equal(torch.rand(3), expected)


BROKEN = {
    "no_model": ("def get_inputs():\n    return []\n", "defines no class Model"),
    "no_inputs": (RELU, "defines no get_inputs"),
    "syntax": (RELU + "def get_inputs(:\n", "line 6: syntax error"),
}


class TestBadFiles:
    @pytest.mark.parametrize("name", BROKEN)
    def test_found_when_loading(self, tmp_path, name):
        body, message = BROKEN[name]
        path = tmp_path / f"{name}.py"
        path.write_text(HEAD + body)
        with pytest.raises(TaskError, match=message) as error:
            load_task(path)
        assert str(path) in str(error.value) and "\n" not in str(error.value)
        with pytest.raises(TaskError, match=message):
            Program(Task(name, path.read_text(), str(path)))
        with pytest.raises(TaskError, match=message):
            load_folder(tmp_path)

    @pytest.mark.parametrize(
        ("body", "message"),
        [
            ("1 / 0\n" + RELU, "line 3: the file raised ZeroDivisionError: division by zero"),
            ("import no_such_module_x\n" + RELU, "No module named 'no_such_module_x'"),
            ("raise SystemExit(3)\n", "line 3: the file raised SystemExit"),
            ("Model = 3\n", "Model is no torch.nn.Module but 3"),
            ("class Model:\n    pass\n", "Model is no torch.nn.Module"),
        ],
    )
    def test_found_when_executing(self, body, message):
        with pytest.raises(TaskError, match=message):
            Program(task(body + "def get_inputs():\n    return []\n"))

    @pytest.mark.parametrize(
        ("body", "message"),
        [
            ("def get_inputs():\n    return torch.ones(3)\n", "returned a Tensor, want a list"),
            (
                "def get_inputs():\n    raise KeyError('x')\n",
                r"line 7: get_inputs\(\) raised Key",
            ),
            ("def get_inputs(n):\n    return []\n", "raised TypeError"),
            ("def get_input_groups():\n    return []\n", "returned no group"),
            ("def get_input_groups():\n    return 3\n", "returned a int, want a list"),
        ],
    )
    def test_bad_inputs(self, body, message):
        program = Program(task(RELU + body))
        with pytest.raises(TaskError, match=message):
            _ = program.groups
            program.make_inputs()

    def test_bad_constructor_and_forward(self):
        inputs = "def get_inputs():\n    return [torch.ones(3), torch.ones(4)]\n"
        program = Program(task(RELU + inputs + "def get_init_inputs():\n    return [1]\n"))
        with pytest.raises(TaskError, match="raised TypeError"):
            program.make_model()
        program = Program(task(RELU.replace("torch.relu(xs[0])", "xs[0] + xs[1]") + inputs))
        with pytest.raises(TaskError, match="line 5: Model.forward raised RuntimeError: The size"):
            program.run(program.make_model(), program.make_inputs())

    @pytest.mark.parametrize("content", [b"\x89PNG\r\n\x1a\n\xff\xfe", b"a\0b"])
    def test_binary_file(self, tmp_path, content):
        path = tmp_path / "a.py"
        path.write_bytes(content)
        with pytest.raises(TaskError, match="is no text file"):
            load_task(path)

    def test_missing(self, tmp_path):
        with pytest.raises(TaskError, match="no such file"):
            load_task(tmp_path / "a.py")
        with pytest.raises(TaskError, match="no such folder"):
            load_folder(tmp_path / "none")
        with pytest.raises(TaskError, match="holds no task"):
            load_folder(tmp_path)
        with pytest.raises(TaskError, match="is a folder, not a task"):
            load_task(tmp_path)


class TestCompoundAxes:
    def test_elements_of_tuples(self):
        program = Program(
            relu("shape = (6, 4)\nk = 3\ndef get_inputs():\n    return [torch.rand(2, *shape)]\n")
        )
        assert program.axes == {"shape[0]": 6, "shape[1]": 4}
        for variant in program.variants(random.Random(0)):
            assert Program(program.task, variant).make_inputs()[0].shape[1:] == variant["shape"]

    def test_constants_that_change_together(self):
        program = Program(
            task(
                """
                batch, rows, other, channels, out_channels = 3, 8, [8], 16, 16
                class Model(nn.Module):
                    def __init__(self, channels, out_channels):
                        super().__init__()
                        self.linear = nn.Linear(channels, out_channels)
                    def forward(self, x, y):
                        return x + self.linear(x) + y
                def get_inputs():
                    x = torch.rand(batch, rows, channels)
                    return [x, torch.rand(batch, other[0], 1)]
                def get_init_inputs():
                    return [channels, out_channels]
                """
            )
        )
        axes = program.axes_info
        assert set(axes) == {"batch", "rows=other[0]", "channels=out_channels"}
        assert axes["channels=out_channels"].parameters
        for variant in program.variants(random.Random(0)):
            changed = Program(program.task, variant)
            changed.run(changed.make_model(), changed.make_inputs())
            assert variant.get("rows", 8) == variant.get("other", [8])[0]
        chosen = task(program.task.source, head="", axes=("rows=other[0]",))
        assert Program(chosen).axes == {"rows=other[0]": 8}
