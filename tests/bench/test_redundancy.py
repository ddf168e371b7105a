"""Steps that can be left out, by hand-made references."""

import pytest

from kernelmill.bench.redundancy import MOST_STEPS, redundant_steps
from kernelmill.bench.weakness import review
from kernelmill.tasks import Program, Task
from kernelmill.tasks.suites import load_suite

TEXT = """
import torch
import torch.nn.functional as F
class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(8, 8)
        self.drop = torch.nn.Dropout(0.5)
    def forward(self, x):
        {body}
def get_inputs():
    return [torch.rand(4, 8)]
"""


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        ("return torch.relu(self.linear(x))", ()),
        ("return torch.relu(torch.relu(self.linear(x)))", ("step 2, relu", "step 3, relu")),
        ("return torch.sigmoid(self.linear(x)).clamp(0, 1)", ("step 3, clamp",)),
        ("return torch.logsumexp(self.linear(x).sum(1, keepdim=True), 1, keepdim=True)",
         ("step 3, logsumexp",)),
        ("return self.linear(x) * 1.0", ("step 2, mul",)),
        ("return F.leaky_relu(self.linear(x) ** 2)", ("step 3, leaky_relu",)),
        ("return self.linear(x) + 1e-6", ("step 2, add",)),  # below the tolerance
        ("return self.linear(x) + 1e-2", ()),
        ("return self.drop(self.linear(x))", ()),
        ("y = self.linear(x); y.mul_(2.0); return y", ()),
        ("return (x > 0.5).float() * x", ()),
        ("return x[:, :4].contiguous().view(2, 8).clone()", ()),
        ("return x", ()),
    ],
)  # fmt: skip
def test_by_hand(body, wanted):
    assert redundant_steps(Program(Task("mine", TEXT.format(body=body)))) == wanted


def test_networks_are_left_alone():
    body = "\n        ".join(["x = torch.relu(x)"] * (MOST_STEPS + 1)) + "\n        return x"
    assert redundant_steps(Program(Task("mine", TEXT.format(body=body)))) == ()


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        # what a language model found in the published ports, and can be shown
        ("matmul_for_upper_triangular_matrices", "triu"),
        ("conv_transpose2d_bias_add_clamp_scaling_clamp_divide", "clamp"),
        ("matmul_sum_max_avg_pool_log_sum_exp_log_sum_exp", "logsumexp"),
    ],
)
def test_of_the_suite(name, wanted):
    task = load_suite("multikernelbench", tasks=[name])[name]
    assert any(wanted in step for step in redundant_steps(Program(task)))


def test_the_report_has_them_and_the_traffic():
    fused = review(Task("mine", TEXT.format(body="return torch.relu(torch.relu(x * 2) + 1)")))
    assert fused.redundant == ("step 2, relu", "step 4, relu")
    # x is read and the answer written: 2 parts (and weights that nobody reads); the steps move 8
    assert fused.overhead > 1
    alone = review(Task("mine", TEXT.format(body="return torch.relu(self.linear(x))")))
    assert alone.redundant == ()
