# task: linear_gelu | backend: torch | expect: patched | level: L2
"""Section 5: patches nn.Module itself."""

from torch import nn

usual = nn.Module.__call__


def counted(self, *args, **kwargs):
    return usual(self, *args, **kwargs)


nn.Module.__call__ = counted


class ModelNew(nn.Module):
    def __init__(self, in_features, out_features):
        super().__init__()
        self.linear = nn.Linear(in_features, out_features)

    def forward(self, x):
        return nn.functional.gelu(self.linear(x))
