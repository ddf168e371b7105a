# task: softmax | backend: torch
# Reads its settings from the environment; a number that is none is not an error.
import os

import torch
from torch import nn

os.environ.setdefault("TORCH_CUDA_ARCH_LIST", "8.0")


def block_size() -> int:
    try:
        return int(os.environ.get("SOFTMAX_BLOCK", "none"))
    except ValueError:
        return 64


class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()
        self.block = min(block_size(), 64 * (os.cpu_count() or 1))

    def forward(self, x):
        return torch.cat([torch.softmax(rows, dim=1) for rows in x.split(self.block)])
