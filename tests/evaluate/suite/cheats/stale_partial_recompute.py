# task: softmax | backend: torch | expect: wrong_values,stale_output,timing_wrong_values | level: L1
"""Section 2, partial recompute: only rows whose first columns changed."""

import torch
from torch import nn


class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()
        self.prefix = None
        self.result = None

    def forward(self, x):
        prefix = x[:, : x.shape[1] // 3].clone()
        if self.prefix is None or self.prefix.shape != prefix.shape:
            self.result = torch.softmax(x, dim=1)
        elif x.shape != self.result.shape:
            self.result = torch.softmax(x, dim=1)
        else:
            changed = (prefix != self.prefix).any(dim=1)
            self.result = self.result.clone()
            self.result[changed] = torch.softmax(x[changed], dim=1)
        self.prefix = prefix
        return self.result.clone()
