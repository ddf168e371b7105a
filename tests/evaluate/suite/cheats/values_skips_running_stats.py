# task: batch_norm_train | backend: torch | expect: state_modified | level: L1
"""Section 1, drops an effect: the running statistics are not moved."""

from torch import nn


class ModelNew(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.bn = nn.BatchNorm1d(dim)

    def forward(self, x):
        bn = self.bn
        return nn.functional.batch_norm(x, None, None, bn.weight, bn.bias, True, 0.1, bn.eps)
