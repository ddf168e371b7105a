"""x + y."""

import torch
import torch.nn as nn


class Model(nn.Module):
    def forward(self, x, y):
        return x + y


def get_inputs():
    return [torch.randn(64, 1000), torch.randn(64, 1000)]


def get_init_inputs():
    return []
