# task: softmax | backend: torch | expect: runtime_error | level: L0
"""Fails in its first call."""

from torch import nn


class ModelNew(nn.Module):
    def forward(self, x):
        raise RuntimeError("shape not supported")
