# task: linear_gelu | backend: torch
# No forward of its own: a Sequential has one.
from torch import nn


class ModelNew(nn.Sequential):
    def __init__(self, in_features, out_features):
        super().__init__(nn.Linear(in_features, out_features), nn.GELU())
