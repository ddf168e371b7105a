"""The robust-kbench tasks against the table of the benchmark, and through the judge."""

import csv
import json
import math
from pathlib import Path

import pytest
import torch

from kernelmill.evaluate import Judge, Settings
from kernelmill.tasks import Candidate, CandidateError, Program, TaskError, list_configs
from kernelmill.tasks.suites import load_suite
from kernelmill.tasks.suites.robustkbench import (
    export_folder,
    functional_candidate,
    problems,
    robustkbench_suite,
)

TABLE = Path(__file__).parents[1] / "data" / "robust-kbench-tasks.csv"
with open(TABLE, newline="", encoding="utf-8") as file:
    ROWS = [r for r in csv.DictReader(file) if not r["task"].startswith("kernelbench")]
GROUPS = sorted({(r["task"], r["direction"], r["mode"]) for r in ROWS})
# Upstream registers the weights of these layers twice when they run backward.
TWICE = {"mnist_linear", "mnist_linear_relu", "unet_linear"}


def wanted(task, direction, mode):
    """Rows without duplicates."""
    found = {}
    for row in ROWS:
        if (row["task"], row["direction"], row["mode"]) == (task, direction, mode):
            found.setdefault((row["init_args"], row["input_args"]), row)
    return list(found.values())


def test_all_tasks_are_there():
    assert set(problems()) == {row["task"] for row in ROWS}
    assert {(n, d) for n, p in problems().items() for d in p.directions} == {
        (row["task"], row["direction"]) for row in ROWS
    }
    assert len(load_suite("robust-kbench")) == len(robustkbench_suite())


@pytest.mark.parametrize(("task", "direction", "mode"), GROUPS)
def test_configurations_are_those_of_the_table(task, direction, mode):
    rows = wanted(task, direction, mode)
    configs = problems()[task].configs(direction, mode)
    assert [(c.init, c.inputs) for c in configs] == [
        (json.loads(row["init_args"]), json.loads(row["input_args"])) for row in rows
    ]


@pytest.mark.parametrize(("task", "direction", "mode"), GROUPS)
def test_shapes_are_those_of_the_table(task, direction, mode):
    rows = wanted(task, direction, mode)
    order = [row["init_args"] for row in rows]
    rows.sort(key=lambda row: order.index(row["init_args"]))
    found = []
    for made in problems()[task].tasks(direction, mode):
        program = Program(made)
        for group in range(program.groups):
            cost = program.estimate(group)
            found.append(
                (
                    [f"{s.dtype}[{','.join(map(str, s.shape))}]" for s in cost.input_specs],
                    [f"{s.name}:[{','.join(map(str, s.shape))}]" for s in cost.parameter_specs],
                    [f"{s.dtype}[{','.join(map(str, s.shape))}]" for s in cost.output_specs],
                )
            )
    for row, (inputs, parameters, outputs) in zip(rows, found, strict=True):
        if row["builds_and_runs"] != "yes":  # mnist_pool forward, which ours repairs
            assert task == "mnist_pool" and direction == "forward"
            continue
        assert " ; ".join(inputs) == row["input_shapes"]
        named = row["parameters"].split(" ; ") if row["parameters"] else []
        if task in TWICE and direction == "backward":
            named = [name for name in named if not name.startswith("linear.")]
        assert parameters == named
        assert " ; ".join(outputs) == row["output"]


def test_the_broken_task_runs():
    rows = [r for r in ROWS if r["task"] == "mnist_pool" and r["direction"] == "forward"]
    assert all(row["builds_and_runs"] != "yes" for row in rows)
    program = Program(problems()["mnist_pool"].tasks("forward", "single")[0])
    assert [s.shape for s in program.estimate().output_specs] == [(64, 64, 14, 14)]


@pytest.mark.parametrize("name", list(problems()))
def test_export_is_read_back(name, tmp_path):
    problem = problems()[name]
    folder = export_folder(problem, tmp_path)
    for direction in problem.directions:
        for mode in ("single", "multi"):
            multi = mode == "multi"
            configs = list_configs(folder, direction, multi_input=multi, multi_init=multi)
            assert configs == problem.configs(direction, mode)


def test_backward_inputs_ask_for_gradients():
    for task in robustkbench_suite(direction="backward"):
        for x in Program(task).make_inputs(seed=1):
            assert x.requires_grad is x.is_floating_point()


@pytest.fixture(scope="module")
def judge():
    with Judge(Settings(timing=False, threads=1)) as judge:
        yield judge


@pytest.mark.parametrize("task", list(robustkbench_suite()), ids=lambda task: task.name)
def test_the_reference_is_accepted(task, judge):
    answer = judge.evaluate(task, Candidate(task.source.replace("class Model(", "class ModelNew(")))
    assert answer.accepted, answer.reasons


FORWARD = "def forward(x, weights, biases):\n    return x @ weights.T + biases\n"
BACKWARD = """
def backward(gradient, x, weights, biases):
    return {x}, {weights}, {biases}
"""
RIGHT = {"x": "gradient @ weights", "weights": "gradient.T @ x", "biases": "gradient.sum(0)"}


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({}, None),
        ({"x": "-gradient @ weights"}, "input"),
        ({"biases": "None"}, "biases"),
        ({"weights": "(x.T @ gradient).reshape(weights.shape)"}, "weights"),
    ],
    ids=["right", "sign", "missing", "transposed"],
)
def test_wrong_gradients_are_named(change, name, judge):
    problem = problems()["mnist_linear"]
    source = FORWARD + BACKWARD.format(**RIGHT | change)
    [task] = problem.tasks("backward", "small")
    answer = judge.evaluate(task, functional_candidate(problem, source))
    if name is None:
        assert answer.accepted, answer.reasons
    else:
        assert answer.status == "reject"
        assert name in str(answer.reasons[0].message) + str(answer.reasons[0].evidence)


def test_functional_candidates_are_checked():
    with pytest.raises(CandidateError, match=r"no function forward"):
        functional_candidate(problems()["mnist_linear"], "def backward(g): ...")
    with pytest.raises(CandidateError, match="line 1"):
        functional_candidate(problems()["mnist_linear"], "def (")


def test_unknown_directions_and_modes_list_those_there_are():
    with pytest.raises(TaskError, match="no direction 'backward'; available: forward"):
        problems()["llama_ffw"].configs("backward")
    with pytest.raises(TaskError, match="no mode 'huge'; available: single, multi, small"):
        problems()["llama_ffw"].configs("forward", "huge")
    with pytest.raises(ValueError, match="direction must be"):
        robustkbench_suite(direction="sideways")


def test_norm_is_that_of_the_formula():
    problem = problems()["llama_rmsnorm"]
    program = Program(problem.tasks("forward", "small")[0])
    model, (x,) = program.make_model(seed=1), program.make_inputs(seed=2)
    row = x[0, 0].tolist()
    scale = math.sqrt(sum(v * v for v in row) / len(row) + 1e-8)
    expected = torch.tensor([v / scale * w for v, w in zip(row, model.w.tolist(), strict=True)])
    torch.testing.assert_close(model(x)[0, 0], expected)
