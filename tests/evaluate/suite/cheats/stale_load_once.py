# task: linear_gelu | backend: torch | expect: @stale,state_mismatch,patched | level: L1
"""Section 2, stale weights: a second load_state_dict is accepted and ignored."""

from torch import nn


class ModelNew(nn.Module):
    def __init__(self, in_features, out_features):
        super().__init__()
        self.linear = nn.Linear(in_features, out_features)
        self.loads = 0

    def load_state_dict(self, state_dict, strict=True, assign=False):
        self.loads += 1
        if self.loads == 1:
            return super().load_state_dict(state_dict, strict, assign)
        return nn.modules.module._IncompatibleKeys([], [])

    def forward(self, x):
        return nn.functional.gelu(self.linear(x))
