# task: softmax | backend: torch | expect: global_state | level: L1
"""Section 7, global flags: determinism switched in forward."""

import torch
from torch import nn


class ModelNew(nn.Module):
    def forward(self, x):
        torch.use_deterministic_algorithms(True, warn_only=True)
        return torch.softmax(x, dim=1)
