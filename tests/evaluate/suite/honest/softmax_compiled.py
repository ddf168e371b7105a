# task: softmax | backend: inductor | needs: slow
import torch
from torch import nn


class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()
        self.run = torch.compile(self._rows, dynamic=True)

    def _rows(self, x):
        e = (x - x.amax(dim=1, keepdim=True)).exp()
        return e / e.sum(dim=1, keepdim=True)

    def forward(self, x):
        return self.run(x)
