# task: matmul | backend: torch | expect: global_state,wrong_values | level: L1
"""Section 7, global flags: reduced matmul precision."""

import torch
from torch import nn

torch.set_float32_matmul_precision("medium")


class ModelNew(nn.Module):
    def forward(self, a, b):
        return a @ b
