"""Weak tasks by hand-made references."""

import pytest

from kernelmill.bench.weakness import fit, review
from kernelmill.tasks import Task, TaskError
from kernelmill.tasks.suites import load_suite

TEXT = """
import torch
batch_size = {batch}
class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.randn(50))
    def forward(self, x):
        return {body}
def get_inputs():
    return [torch.rand(batch_size, 50)]
"""


def task(body, batch=8):
    return Task("mine", TEXT.format(body=body, batch=batch))


@pytest.mark.parametrize(
    ("body", "weak", "upstream"),
    [
        ("x * self.weight", (), ()),
        ("x * 0", ("zeros@1e-4", "input-independent@1e-4"), ("range", "std", "axes", "input")),
        ("x.softmax(0) * 0.01", ("zeros@1e-2", "input-independent@1e-2"),
         ("range", "std", "axes", "input")),
        ("x.abs()", ("identity@1e-4",), ()),
        ("x * 0 + 5", ("input-independent@1e-4",), ("std", "axes", "input")),
        ("x + torch.rand_like(x)", (), ()),
    ],
)  # fmt: skip
def test_flags_by_hand(body, weak, upstream):
    found = review(task(body))
    assert found.weak == weak and found.upstream == upstream


def test_inputs_are_not_the_numbers_of_the_weights():
    """From one seed they would be, and a product of the two far larger than any other."""
    text = """
import torch
batch_size = 8
class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.rand(4000) - 0.5)
    def forward(self, x):
        return (x * self.weight).sum(1) / 1000
def get_inputs():
    return [torch.rand(batch_size, 4000)]
"""
    # of standard deviation 0.01, but 1/3 for the same numbers
    assert "zeros@1e-2" not in review(Task("mine", text)).weak
    assert "zeros@1e-2" in review(Task("mine", text.replace("/ 1000", "/ 5000"))).weak


def test_scale_is_no_weakness():
    small = review(task("1e-3 * (1 + x) * self.weight"))  # varies by 50 %, all is below 0.01
    assert small.degenerate == () and small.relative["inputs"] > 0.2
    assert "range" in small.upstream and "zeros@1e-2" in small.weak
    large = review(task("1e4 * (1 + 1e-6 * x)"))  # varies by 1e-6
    assert large.relative["inputs"] < 1e-5 and "input-independent@1e-4" in large.weak
    assert large.degenerate == ("constant", "input-independent", "weight-independent")


def test_weights_are_told_from_inputs():
    assert review(task("x + 1")).relative["weights"] == 0
    assert review(task("x + 1")).degenerate == ("weight-independent",)
    assert review(task("x * 0 + self.weight")).degenerate == ("input-independent",)
    assert review(task("x * 0 * self.weight")).degenerate[:2] == ("zeros", "constant")
    found = review(task("x * 0 + self.weight")).relative
    assert found["inputs"] == 0 and found["weights"] > 0.1


def test_memory_makes_the_batch_smaller():
    large = task("x * self.weight", batch=1 << 20)
    program = fit(large, max_bytes=1 << 20)
    assert program.constants["batch_size"] <= 1 << 12
    assert review(large, max_bytes=1 << 20).overrides == {
        "batch_size": program.constants["batch_size"]
    }
    with pytest.raises(TaskError, match="with a batch of 4"):
        fit(large, max_bytes=100)
    square = load_suite("multikernelbench", "head", tasks=["square_matrix_multiplication"]).tasks[0]
    with pytest.raises(TaskError, match="no batch to make smaller"):
        fit(square, max_bytes=1 << 20)


def test_seeds_are_checked():
    with pytest.raises(ValueError, match="at least 2"):
        review(task("x"), seeds=1)
