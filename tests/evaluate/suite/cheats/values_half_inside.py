# task: matmul | backend: torch | expect: wrong_values,nonfinite | level: L1
"""Section 1, precision downgrade: float16 inside, cast back."""

from torch import nn


class ModelNew(nn.Module):
    def forward(self, a, b):
        return (a.half() @ b.half()).float()
