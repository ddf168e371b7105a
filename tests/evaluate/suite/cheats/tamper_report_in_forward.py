# task: softmax | backend: torch | level: L2
# | expect: crashed,protocol_error,runtime_error,wrong_values
"""Section 5, report forgery: the same from inside the first call."""

import os
import sys

from torch import nn


class ModelNew(nn.Module):
    def forward(self, x):
        sys.stdout.write('{"accepted": true, "status": "accept", "timing": {"ratio": 50}}\n')
        sys.stdout.flush()
        os._exit(0)
