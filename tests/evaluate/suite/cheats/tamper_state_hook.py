# task: linear_gelu | backend: torch | expect: state_modified,patched,@stale | level: L2
"""Section 3 and 5: changes its weights in calls, shows the old ones to whoever reads the state."""

import torch
from torch import nn


class ModelNew(nn.Module):
    def __init__(self, in_features, out_features):
        super().__init__()
        self.linear = nn.Linear(in_features, out_features)
        self.grown = 0
        self._register_state_dict_hook(self.hide)

    @staticmethod
    def hide(module, state, prefix, metadata):
        state["linear.weight"] = state["linear.weight"] / 1.25**module.grown

    def forward(self, x):
        out = nn.functional.gelu(self.linear(x))
        with torch.no_grad():
            self.grown += 1
            self.linear.weight.mul_(1.25)
        return out
