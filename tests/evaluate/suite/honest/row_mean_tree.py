# task: row_mean | backend: torch
import torch
from torch import nn


class ModelNew(nn.Module):
    def forward(self, x):
        count = x.shape[1]
        pad = -count % 64
        parts = torch.nn.functional.pad(x, (0, pad)).view(x.shape[0], -1, 64)
        return parts.sum(1).sum(1) / count
