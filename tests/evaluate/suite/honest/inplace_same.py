# task: inplace | backend: torch
# Changes its input as the reference does.
import torch
from torch import nn


class ModelNew(nn.Module):
    def forward(self, x):
        torch.add(x * 1.5, 0.25, out=x)
        return x.tanh()
