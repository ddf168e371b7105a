# task: outlier_mask | backend: torch
import torch
from torch import nn


class ModelNew(nn.Module):
    def forward(self, x, limit):
        return torch.logical_or(x > limit, x < -limit) | (limit < 0)
