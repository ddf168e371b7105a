# task: softmax | backend: torch | expect: wrong_values,nonfinite | level: L1
"""Section 1, unstable algorithm: softmax without the maximum."""

from torch import nn


class ModelNew(nn.Module):
    def forward(self, x):
        e = x.exp()
        return e / e.sum(dim=1, keepdim=True)
