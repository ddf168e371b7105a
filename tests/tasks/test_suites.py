"""The suites: every task against the table of the benchmark, at all sizes."""

import ast
from collections import Counter

import pytest

from kernelmill.tasks import Program, TaskError
from kernelmill.tasks.suites import CATEGORIES, EXTRA, SIZES, Category, load_suite, sizes
from kernelmill.tasks.suites.catalog import multikernelbench
from tests.tasks.suite_table import differences, rows

ENTRIES = multikernelbench()
COUNTS = {
    "activation": 15, "broadcast": 10, "convolution": 34, "arch": 50, "fuse": 100, "loss": 7,
    "math": 6, "matmul": 17, "normalization": 8, "optimizer": 5, "pooling": 6, "index": 12,
    "resize": 10, "reduce": 5, "attention": 15,
}  # fmt: skip
# Where the table's count is not that of the computation. Attention in one operator has FLOPs
# 4 B H L^2 D = 4 * 32 * 32 * 512^2 * 1024, of which the table counts none; of the first row of
# the window, whose product is 1 x 1 times 1 x 64, it leaves out 2 * 4 * 16 * 64.
KNOWN = {
    "scaled_dot_product_attention": ["FLOPs: got 1099511627776, the table says 0"],
    "windowed_causal_attention": ["FLOPs: got 76803997696, the table says 76803989504"],
}
PLAIN = [e for e in ENTRIES.values() if e.category != "arch"]  # those have a test of their own


def test_there_are_285_tasks_in_14_categories():
    suite = load_suite("multikernelbench")
    assert len(suite) == 285
    assert Counter(task.category for task in suite) == {
        name: count for name, count in COUNTS.items() if name not in EXTRA
    }
    assert set(ENTRIES) == set(rows())
    assert [*CATEGORIES, *EXTRA] == list(COUNTS)
    assert {e.name: e.category for e in ENTRIES.values()} == {
        name: row["category"] for name, row in rows().items()
    }


@pytest.mark.parametrize("entry", PLAIN, ids=lambda e: e.name)
def test_task_is_that_of_the_table(entry):
    found = differences(entry, "head")
    if rows()[entry.name]["inputs_paper"]:
        found += differences(entry, "paper")
    wanted = [f"{entry.name} at head: {text}" for text in KNOWN.get(entry.name, [])]
    assert found == wanted


@pytest.mark.parametrize("entry", ENTRIES.values(), ids=lambda e: e.name)
def test_flags_are_those_of_the_table(entry):
    row = rows()[entry.name]
    assert set(entry.weak) == set(filter(None, row["weak_output_flags"].split("|")))
    assert entry.kernelbench == row["kernelbench_id"].split(" ")[0]
    if entry.weak:
        assert entry.source(repaired=True) != entry.source()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("repaired", [False, True])
def test_texts_stand_alone(size, repaired):
    suite = load_suite("multikernelbench", size, repaired=repaired)
    assert size in suite.version and ("repaired" in suite.version) is repaired
    for task in suite:
        tree = ast.parse(task.source)
        defined = [node.name for node in tree.body if hasattr(node, "name")]
        assert len(set(defined)) == len(defined)
        assert {"Model", "get_inputs", "get_init_inputs"} <= set(defined)
        modules = [n.module for n in tree.body if isinstance(n, ast.ImportFrom)]
        modules += [a.name for n in tree.body if isinstance(n, ast.Import) for a in n.names]
        assert not [name for name in modules if name.startswith("kernelmill")]


@pytest.mark.parametrize("name", ["softmax", "conv2d_relu_bias_add", "index_add", "lenet5"])
def test_small_runs(name):
    program = Program(load_suite("multikernelbench", tasks=[name])[name])
    output = program.run(program.make_model(seed=1), program.make_inputs(seed=2))
    assert output.isfinite().all()


def test_repaired_inputs_matter():
    """What the table calls weak is not, once repaired: two draws give two answers."""
    for entry in ENTRIES.values():
        if not any(flag.startswith("input-independent") for flag in entry.weak):
            continue
        program = Program(entry.task("small", repaired=True))
        model = program.make_model(seed=1)
        one, two = (program.run(model, program.make_inputs(seed=s)) for s in (2, 3))
        scale = max(one.abs().max(), two.abs().max())
        assert (one - two).abs().max() > 1e-2 * scale, entry.name


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "multi"}, "unknown suite 'multi'; known: multikernelbench"),
        ({"size": "huge"}, "size must be one of small, head, paper, got 'huge'"),
        ({"categories": ["activations"]}, "unknown category 'activations'; nearest: activation"),
        ({"tasks": ["sofmax"]}, "unknown task 'sofmax'; nearest: softmax"),
    ],
)
def test_unknown_names_are_answered_by_the_nearest(arguments, message):
    with pytest.raises(ValueError, match=message):
        load_suite(**{"name": "multikernelbench", **arguments})


def test_declarations_are_checked():
    category = Category("mine")
    table = sizes(head={"n": 3}, small={})
    with pytest.raises(TaskError, match=r"forward takes \['x'\], inputs are \['y'\]"):

        @category.add(table, y="torch.rand(n)")
        def one(x):
            return x

    def two(x):
        return x

    category.add(table, x="torch.rand(n)")(two)
    with pytest.raises(TaskError, match="two tasks are named 'two'"):
        category.add(table, x="torch.rand(n)")(two)
