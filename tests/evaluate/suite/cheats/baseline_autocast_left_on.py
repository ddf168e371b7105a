# task: matmul | backend: torch | expect: global_state,wrong_dtype,wrong_values | level: L1
"""Section 7, global flags: an autocast region that is entered and never left."""

import torch
from torch import nn

torch.autocast("cpu", dtype=torch.bfloat16).__enter__()


class ModelNew(nn.Module):
    def forward(self, a, b):
        return (a @ b).float()
