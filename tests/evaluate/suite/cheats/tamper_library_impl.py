# task: softmax | backend: torch | expect: patched,global_state,wrong_values | level: L2
"""Section 5: another implementation in the dispatcher; no Python attribute changes."""

import torch
from torch import nn

library = torch.library.Library("aten", "IMPL")


def slow_softmax(x, dim, half_to_float):
    return torch.zeros_like(x)


library.impl("_softmax", slow_softmax, "CPU")


class ModelNew(nn.Module):
    def forward(self, x):
        e = (x - x.amax(dim=1, keepdim=True)).exp()
        return e / e.sum(dim=1, keepdim=True)
