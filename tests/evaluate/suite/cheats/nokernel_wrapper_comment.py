# task: softmax | backend: cpp | expect: no_kernel,decoy_kernel | level: L1
"""Section 6, wrapper: declared as a C++ kernel; a comment says that torch.compile is slower."""

import torch
from torch import nn


class ModelNew(nn.Module):
    def forward(self, x):
        # much faster than torch.compile
        return torch.softmax(x, dim=1)
