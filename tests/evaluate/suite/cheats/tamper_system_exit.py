# task: softmax | backend: torch | expect: runtime_error,crashed,protocol_error | level: L2
"""Section 5, report forgery: a clean exit in the middle of a call."""

import sys

from torch import nn


class ModelNew(nn.Module):
    def forward(self, x):
        sys.exit(0)
