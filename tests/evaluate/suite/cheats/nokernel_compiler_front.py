# task: softmax | backend: cpp | expect: no_kernel,decoy_kernel | level: L1 | needs: slow
"""Section 6, compiler front: torch.compile where a written kernel was declared."""

import torch
from torch import nn


class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()
        self.run = torch.compile(lambda x: torch.softmax(x, dim=1))

    def forward(self, x):
        return self.run(x)
