# task: softmax | backend: torch
# One pass over blocks of columns with a running maximum and sum.
import torch
from torch import nn


class ModelNew(nn.Module):
    BLOCK = 64

    def forward(self, x):
        top = x.new_full((x.shape[0], 1), float("-inf"))
        total = x.new_zeros(x.shape[0], 1)
        for block in x.split(self.BLOCK, dim=1):
            new = torch.maximum(top, block.amax(dim=1, keepdim=True))
            total = total * (top - new).exp() + (block - new).exp().sum(dim=1, keepdim=True)
            top = new
        return (x - top).exp() / total
