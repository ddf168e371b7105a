# task: softmax | backend: torch
# Sets itself up in the first call; an AttributeError says that it has to.
import contextlib

import torch
from torch import nn


class ModelNew(nn.Module):
    def forward(self, x):
        try:
            dim = self.dim
        except AttributeError:
            dim = self.dim = 1
        with contextlib.suppress(KeyError):
            dim = {}["nothing"]
        return torch.softmax(x, dim=dim)
