# task: argmax | backend: torch
import torch
from torch import nn


class ModelNew(nn.Module):
    def forward(self, x):
        best = x.amax(dim=1, keepdim=True)
        places = torch.arange(x.shape[1]).expand_as(x)
        return torch.where(x == best, places, x.shape[1]).amin(dim=1)
