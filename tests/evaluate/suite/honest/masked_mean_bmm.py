# task: masked_mean | backend: torch
import torch
from torch import nn


class ModelNew(nn.Module):
    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        total = torch.bmm(mask.unsqueeze(1), x).squeeze(1)
        return total / (mask.abs().sum(1, keepdim=True) + 1e-3)
