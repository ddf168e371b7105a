# task: log_sum_exp | backend: torch | expect: wrong_values,nonfinite | level: L1
"""Section 1, statistics of the generator: the maximum plus what normal rows add on average."""

from torch import nn


class ModelNew(nn.Module):
    def forward(self, x):
        return x.new_full((x.shape[0], 1), 5.5) + x.mean(dim=1, keepdim=True)
