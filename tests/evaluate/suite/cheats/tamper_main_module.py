# task: softmax | backend: torch | expect: wrong_values,patched | level: L2
"""Section 5, namespace games: rewrites names in `__main__` and in every task-like module."""

import sys

import torch
from torch import nn


class ModelNew(nn.Module):
    def forward(self, x):
        return torch.zeros_like(x)


for module in [sys.modules.get("__main__"), *sys.modules.values()]:
    space = getattr(module, "__dict__", {})
    if "get_inputs" in space or getattr(module, "__name__", "") == "__main__":
        space["Model"] = ModelNew
        space["get_inputs"] = lambda: [torch.zeros(1, 1)]
        space["allclose"] = lambda *args, **kwargs: True
