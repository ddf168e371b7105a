# task: softmax | backend: torch | expect: no_forward | level: L0
"""Section 6, a class without forward."""

from torch import nn


class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()
