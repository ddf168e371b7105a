# task: matmul | backend: torch | expect: global_state | level: L1
"""Section 7: another number of threads for all that follows."""

import torch
from torch import nn


class ModelNew(nn.Module):
    def forward(self, a, b):
        torch.set_num_threads(torch.get_num_threads() + 1)
        return a @ b
