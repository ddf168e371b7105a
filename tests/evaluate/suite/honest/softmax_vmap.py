# task: softmax | backend: torch
import torch
from torch import nn


class ModelNew(nn.Module):
    def forward(self, x):
        return torch.vmap(lambda row: torch.softmax(row, dim=0))(x)
