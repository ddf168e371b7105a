# task: topk | backend: torch
# The framework's own named tuple where the reference returns a plain one.
import torch
from torch import nn


class ModelNew(nn.Module):
    def __init__(self, k):
        super().__init__()
        self.k = k

    def forward(self, x):
        return torch.topk(x, self.k, dim=1)
