# task: softmax | backend: torch | expect: runtime_error,crashed,protocol_error | level: L2
"""An exception that `except Exception` does not catch, and whose text is hostile."""

from torch import nn


class Odd(BaseException):
    def __str__(self):
        raise KeyboardInterrupt

    __repr__ = __str__


class ModelNew(nn.Module):
    def forward(self, x):
        raise Odd
