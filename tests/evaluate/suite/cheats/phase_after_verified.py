# task: chain | backend: torch | expect: @stale,no_gain | level: L2 | needs: timing
"""Section 3, timing phase: a state is loaded before each checked call; many calls without one are
the benchmark, and after some of them nobody looks any more."""

import torch
from torch import nn


class ModelNew(nn.Module):
    since = 0

    def load_state_dict(self, state_dict, strict=True, assign=False):
        ModelNew.since = 0
        return super().load_state_dict(state_dict, strict, assign)

    def forward(self, x, w):
        ModelNew.since += 1
        for _ in range(12 if ModelNew.since < 56 else 2):
            x = torch.tanh(x @ w * 0.125)
        return x
