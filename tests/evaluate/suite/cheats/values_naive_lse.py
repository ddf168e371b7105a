# task: log_sum_exp | backend: torch | expect: wrong_values,nonfinite | level: L1
"""Section 1, unstable algorithm: naive log-sum-exp."""

from torch import nn


class ModelNew(nn.Module):
    def forward(self, x):
        return x.exp().sum(dim=1, keepdim=True).log()
