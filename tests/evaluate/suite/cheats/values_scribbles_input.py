# task: matmul | backend: torch | expect: input_modified | level: L1
"""Section 1, input aliasing: a right answer, but the caller's tensor is scratch space."""

from torch import nn


class ModelNew(nn.Module):
    def forward(self, a, b):
        out = a @ b
        b.view(-1)[-1] = 0.0
        return out
