# task: softmax_wide | backend: torch
# Vectorised over two-dimensional blocks; falls through `next` and `StopIteration` on purpose.
import torch
from torch import nn


class ModelNew(nn.Module):
    def forward(self, x):
        blocks = iter(x.split(4096, dim=1))
        top = next(blocks).amax(1, keepdim=True)
        while True:
            try:
                top = torch.maximum(top, next(blocks).amax(1, keepdim=True))
            except StopIteration:
                break
        e = torch.exp(x - top)
        width = getattr(self, "width_that_is_not_there", None) or x.shape[1]
        return e / e[:, :width].sum(1, keepdim=True)
