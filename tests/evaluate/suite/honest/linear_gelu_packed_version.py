# task: linear_gelu | backend: torch
# Weights are packed again when the parameter's version counter says that it was written.
from torch import nn


class ModelNew(nn.Module):
    def __init__(self, in_features, out_features):
        super().__init__()
        self.linear = nn.Linear(in_features, out_features)
        self.version, self.packed = None, None

    def forward(self, x):
        weight = self.linear.weight
        version = weight._version, weight.data_ptr()
        if version != self.version:
            self.packed = weight.detach().t().contiguous()
            self.version = version
        return nn.functional.gelu(x @ self.packed + self.linear.bias)
