# task: split_heads | backend: torch
# Three outputs that lie side by side in one fresh buffer.
import torch
from torch import nn


class ModelNew(nn.Module):
    def forward(self, x):
        return list(torch.chunk(torch.sigmoid(x), 3, dim=1))
