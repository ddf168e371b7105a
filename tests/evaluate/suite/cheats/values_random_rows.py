# task: matmul | backend: torch | expect: wrong_values,not_repeatable,entry_mismatch | level: L1
"""Section 1, skips work at random: three calls in ten leave a random row undone."""

import random

from torch import nn


class ModelNew(nn.Module):
    def forward(self, a, b):
        out = a @ b
        if random.random() < 0.3:
            out[random.randrange(out.shape[0])] = 0
        return out
