# task: softmax | backend: torch | expect: alias_mismatch,input_modified,wrong_values | level: L1
"""Section 2: the answer is written over the input and returned."""

import torch
from torch import nn


class ModelNew(nn.Module):
    def forward(self, x):
        return x.copy_(torch.softmax(x, dim=1))
