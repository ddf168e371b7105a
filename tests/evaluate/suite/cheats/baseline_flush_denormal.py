# task: softmax | backend: torch | expect: global_state,wrong_values | level: L1
"""Section 7, global flags: denormals are flushed."""

import torch
from torch import nn

torch.set_flush_denormal(True)


class ModelNew(nn.Module):
    def forward(self, x):
        return torch.softmax(x, dim=1)
