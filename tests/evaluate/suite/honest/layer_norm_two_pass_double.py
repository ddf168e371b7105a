# task: layer_norm | backend: torch
import torch
from torch import nn


class ModelNew(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))
        self.bias = nn.Parameter(torch.zeros(dim))

    def forward(self, x):
        wide = x.double()
        var, mean = torch.var_mean(wide, dim=-1, correction=0, keepdim=True)
        normal = (wide - mean) / torch.sqrt(var + 1e-5)
        return (normal * self.weight + self.bias).to(x.dtype)
