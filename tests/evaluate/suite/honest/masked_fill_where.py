# task: masked_fill | backend: torch
import torch
from torch import nn


class ModelNew(nn.Module):
    def forward(self, x, mask):
        return torch.where(mask, torch.tensor(float("-inf"), dtype=x.dtype), x / 8)
