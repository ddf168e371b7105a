# task: cumsum | backend: torch
# A parallel scan by doubling: sums in another order.
import torch
from torch import nn


class ModelNew(nn.Module):
    def forward(self, x):
        out = x.clone()
        step = 1
        while step < out.shape[1]:
            moved = nn.functional.pad(out, (step, 0))[:, : out.shape[1]]
            out = out + moved
            step *= 2
        return torch.clone(out)
