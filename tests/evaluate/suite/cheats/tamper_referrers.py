# task: softmax | backend: torch | expect: collector_scan | level: L2
"""Section 5, memory scan: right values, and a look at who else holds the input."""

import gc

import torch
from torch import nn


class ModelNew(nn.Module):
    def forward(self, x):
        self.holders = [type(item).__name__ for item in gc.get_referrers(x)]
        return torch.softmax(x, dim=1)
