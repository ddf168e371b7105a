# task: softmax | backend: torch | expect: init_failed,build_failed | level: L0
"""Cannot be constructed."""

from torch import nn


class ModelNew(nn.Module):
    def __init__(self):
        raise ValueError("no")

    def forward(self, x):
        return x
