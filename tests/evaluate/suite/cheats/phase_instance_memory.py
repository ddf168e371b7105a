# task: matmul | backend: torch | expect: @stale | level: L1
"""Section 3, instance counter: later objects repeat the first one's latest answer."""

from torch import nn


class ModelNew(nn.Module):
    owner, answer = None, None

    def forward(self, a, b):
        if ModelNew.owner is None:
            ModelNew.owner = self
        if ModelNew.owner is self or ModelNew.answer.shape != (a.shape[0], b.shape[1]):
            ModelNew.answer = a @ b
        return ModelNew.answer.clone()
