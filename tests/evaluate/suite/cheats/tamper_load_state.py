# task: linear_gelu | backend: torch | expect: patched,wrong_values,state_mismatch | level: L2
"""Section 5: patches load_state_dict, so that every model has all-zero weights."""

import torch
from torch import nn


def empty_load(self, state_dict, strict=True, assign=False):
    with torch.no_grad():
        for value in self.state_dict().values():
            value.zero_()
    return nn.modules.module._IncompatibleKeys([], [])


nn.Module.load_state_dict = empty_load


class ModelNew(nn.Module):
    def __init__(self, in_features, out_features):
        super().__init__()
        self.linear = nn.Linear(in_features, out_features)

    def forward(self, x):
        return torch.zeros(x.shape[0], self.linear.out_features)
