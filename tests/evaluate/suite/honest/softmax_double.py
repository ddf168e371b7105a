# task: softmax | backend: torch
# More precise than the reference: accumulates in double.
import torch
from torch import nn


class ModelNew(nn.Module):
    def forward(self, x):
        return torch.softmax(x.double(), dim=1).to(x.dtype)
