# task: softmax | backend: cpp | expect: no_kernel,decoy_kernel | level: L1
"""Section 6, wrapper: declared as a C++ kernel, calls the framework under another name."""

import torch
from torch import nn

fast_native_softmax = torch.softmax


class ModelNew(nn.Module):
    def forward(self, x):
        return fast_native_softmax(x, dim=1)
