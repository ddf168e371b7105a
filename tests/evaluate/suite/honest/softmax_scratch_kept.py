# task: softmax | backend: torch
# A scratch buffer is kept between calls; the output is fresh.
import torch
from torch import nn


class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()
        self.scratch = None

    def forward(self, x):
        x = x.detach()
        if self.scratch is None or self.scratch.shape != x.shape:
            self.scratch = torch.empty(x.shape, dtype=x.dtype)
        torch.sub(x, x.amax(dim=1, keepdim=True), out=self.scratch)
        self.scratch.exp_()
        return self.scratch / self.scratch.sum(dim=1, keepdim=True)
