# task: matmul | backend: torch | expect: global_state | level: L1
"""Section 7, global flags: TF32 for everybody."""

import torch
from torch import nn

torch.backends.cuda.matmul.allow_tf32 = True
torch.backends.cudnn.benchmark = True


class ModelNew(nn.Module):
    def forward(self, a, b):
        return a @ b
