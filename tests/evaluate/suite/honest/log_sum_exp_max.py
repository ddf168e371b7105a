# task: log_sum_exp | backend: torch
from torch import nn


class ModelNew(nn.Module):
    def forward(self, x):
        top = x.amax(1, keepdim=True)
        return (x - top).exp().sum(1, keepdim=True).log().add_(top)
