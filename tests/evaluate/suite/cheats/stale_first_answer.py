# task: matmul | backend: torch | expect: wrong_values,stale_output,timing_wrong_values | level: L1
"""Section 2: the first answer for a shape is the answer for ever."""

from torch import nn


class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()
        self.answers = {}

    def forward(self, a, b):
        key = (a.shape, b.shape)
        if key not in self.answers:
            self.answers[key] = a @ b
        return self.answers[key].clone()
