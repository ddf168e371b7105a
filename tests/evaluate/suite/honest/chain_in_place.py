# task: chain | backend: torch
import torch
from torch import nn


class ModelNew(nn.Module):
    def forward(self, x, w):
        scaled = w * 0.125
        for _ in range(12):
            x = torch.tanh_(x @ scaled)
        return x
