# task: softmax | backend: torch
# The output is a slice of a larger fresh buffer.
import torch
from torch import nn


class ModelNew(nn.Module):
    def forward(self, x):
        rows, cols = x.shape
        wide = torch.empty(rows, (cols + 63) // 64 * 64, dtype=x.dtype)
        out = wide[:, :cols]
        out.copy_(torch.softmax(x, dim=1))
        return out
