# task: softmax | backend: torch
# A cache keyed by shape alone holds scratch memory; a missing key raises and is handled.
import torch
from torch import nn


class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()
        self.buffers = {}

    def forward(self, x):
        try:
            top = self.buffers[x.shape]
        except KeyError:
            top = self.buffers[x.shape] = torch.empty(x.shape[0], 1)
        with torch.no_grad():
            torch.amax(x, dim=1, keepdim=True, out=top)
        e = (x - top).exp_()
        return e.div_(e.sum(dim=1, keepdim=True))
