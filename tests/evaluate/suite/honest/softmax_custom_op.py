# task: softmax | backend: torch
# Registers an operator in a namespace of its own.
import torch
from torch import nn


@torch.library.custom_op("suite_honest::row_softmax", mutates_args=())
def row_softmax(x: torch.Tensor) -> torch.Tensor:
    e = (x - x.amax(dim=1, keepdim=True)).exp()
    return e / e.sum(dim=1, keepdim=True)


@row_softmax.register_fake
def _(x):
    return torch.empty_like(x)


class ModelNew(nn.Module):
    def forward(self, x):
        return torch.ops.suite_honest.row_softmax(x)
