# task: scatter | backend: torch
import torch
from torch import nn


class ModelNew(nn.Module):
    def forward(self, target, index, source):
        hot = nn.functional.one_hot(index, target.shape[0]).to(source.dtype)
        return torch.addmm(target, hot.t(), source)
