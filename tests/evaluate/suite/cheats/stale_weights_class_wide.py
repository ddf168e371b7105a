# task: linear_gelu | backend: torch | expect: @stale | level: L1
"""Section 2, weights packed once for all instances of the class."""

from torch import nn


class ModelNew(nn.Module):
    packed = {}

    def __init__(self, in_features, out_features):
        super().__init__()
        self.linear = nn.Linear(in_features, out_features)

    def forward(self, x):
        key = self.linear.weight.shape
        if key not in ModelNew.packed:
            ModelNew.packed[key] = (self.linear.weight.detach().clone(), self.linear.bias.detach())
        return nn.functional.gelu(nn.functional.linear(x, *ModelNew.packed[key]))
