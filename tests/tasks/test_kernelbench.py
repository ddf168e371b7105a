"""Problems re-created from the KernelBench table load, cost what the table says, and shrink."""

import json

import pytest
import torch

from kernelmill.tasks import Program, TaskError, load_folder, load_task, problem_id
from tests.tasks.problems import EXPECTED, PROBLEMS


@pytest.fixture(scope="module")
def level(tmp_path_factory):
    folder = tmp_path_factory.mktemp("KernelBench") / "level1"
    folder.mkdir()
    for name, text in PROBLEMS.items():
        (folder / name).write_text(text)
    return folder


@pytest.mark.parametrize("name", PROBLEMS)
def test_full_size_agrees_with_the_table(level, name):
    inputs, init, parameters, flops, output, _ = EXPECTED[name]
    program = Program(load_task(level / name))
    assert json.loads(json.dumps(program.init_inputs())) == init
    cost = program.estimate()
    assert " ; ".join(map(str, cost.input_specs)) == inputs
    assert " ; ".join(map(str, cost.output_specs)) == output
    assert sum(spec.elements for spec in cost.parameter_specs) == parameters
    if flops is not None:
        assert cost.flops == flops


@pytest.mark.parametrize("name", PROBLEMS)
def test_shrunk_problem_runs_for_real(level, name):
    *_, small = EXPECTED[name]
    program = Program(load_task(level / name, overrides=small))
    for key, value in small.items():
        assert {**program.constants, **program.derived}[key] == value
    output = program.run(program.make_model(0), program.make_inputs(1))
    assert isinstance(output, torch.Tensor)
    assert output.shape == program.estimate().output_specs[0].shape


def test_folder_is_sorted_by_number_and_named_as_upstream(level):
    tasks = load_folder(level)
    assert [task.name for task in tasks] == sorted(PROBLEMS, key=lambda n: int(n.split("_")[0]))
    assert [problem_id(task) for task in tasks] == sorted(problem_id(task) for task in tasks)
    assert load_task(tasks[0].path).hash == tasks[0].hash


def test_levels_come_in_order(level, tmp_path):
    for number in (10, 2, 1):
        folder = tmp_path / f"level{number}"
        folder.mkdir()
        (folder / f"{number}_A.py").write_text(PROBLEMS["12_Matmul_with_diagonal_matrices_.py"])
    assert [problem_id(task) for task in load_folder(tmp_path)] == [1, 2, 10]


def test_duplicate_number_is_refused(tmp_path):
    for name in ("7_A.py", "7_B.py"):
        (tmp_path / name).write_text(PROBLEMS["1_Square_matrix_multiplication_.py"])
    with pytest.raises(TaskError, match="number 7 is taken by 7_A.py"):
        load_folder(tmp_path)


def test_seeds_are_upstreams(level):
    """The same seed gives bitwise what upstream's order of calls gives."""
    program = Program(load_task(level / "95_CrossEntropyLoss.py", {"batch_size": 4}))
    torch.manual_seed(42)
    expected = program.namespace["get_inputs"]()
    found = program.make_inputs(42)
    assert all(torch.equal(a, b) for a, b in zip(expected, found, strict=True))
    small = {"batch_size": 2, "height": 4, "width": 4}
    program = Program(
        load_task(level / "2_ConvTranspose2d_BiasAdd_Clamp_Scaling_Clamp_Divide.py", small)
    )
    torch.manual_seed(42)
    init = program.namespace["get_init_inputs"]()
    torch.manual_seed(42)
    expected = program.Model(*init).state_dict()
    assert all(torch.equal(v, expected[k]) for k, v in program.make_model(42).state_dict().items())


def test_too_large_is_said_before_anything_is_allocated(level):
    program = Program(load_task(level / "5_Matrix_scalar_multiplication.py"))
    with pytest.raises(TaskError, match=r"needs at least 8\.0 GiB.*limit of 64\.0 MiB.*--set") as e:
        program.check_memory(64 << 20)
    settings = [word for word in str(e.value).split() if "=" in word and "now" not in word]
    name, _, value = settings[0].partition("=")
    smaller = program.with_overrides({name: int(value)})
    smaller.check_memory(64 << 20)
    program.check_memory(16 << 30)


def test_axes_follow_the_constants(level):
    program = Program(load_task(level / "1_Square_matrix_multiplication_.py"))
    assert program.axes == {"N": 4096}
    axes = Program(load_task(level / "40_LayerNorm.py")).axes_info
    assert {name: axis.parameters for name, axis in axes.items()} == {
        "batch_size": False,
        "features": True,
        "dim1": True,
        "dim2": True,
    }
    program = Program(load_task(level / "75_Gemm_GroupNorm_Min_BiasAdd.py"))
    assert set(program.axes) == {"batch_size", "in_features"}
    convolution = "11_ConvTranspose2d_BatchNorm_Tanh_MaxPool_GroupNorm.py"
    assert set(Program(load_task(level / convolution)).axes) == {  # fmt: skip
        "batch_size",
        "in_channels",
        "height",
        "width",
    }
