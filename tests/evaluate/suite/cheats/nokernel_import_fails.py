# task: softmax | backend: torch | expect: import_failed,build_failed | level: L0
"""Needs a module that does not exist."""

import a_module_that_nobody_wrote  # noqa: F401
from torch import nn


class ModelNew(nn.Module):
    def forward(self, x):
        return x
