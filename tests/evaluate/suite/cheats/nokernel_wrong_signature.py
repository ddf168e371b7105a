# task: linear_gelu | backend: torch | expect: init_failed,build_failed | level: L0
"""Takes other constructor arguments than the task's Model."""

from torch import nn


class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(96, 72)

    def forward(self, x):
        return nn.functional.gelu(self.linear(x))
