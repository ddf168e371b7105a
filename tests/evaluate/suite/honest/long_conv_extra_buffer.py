# task: long_conv | backend: torch
# A table that is made at construction is kept as one more buffer of the state.
import torch
from torch import nn


class ModelNew(nn.Module):
    def __init__(self, channels, length):
        super().__init__()
        self.kernel = nn.Parameter(torch.randn(channels, length) / length**0.5)
        steps = torch.arange(length)
        self.register_buffer("lag", steps[:, None] - steps[None, :])

    def forward(self, x):
        length, reach = x.shape[-1], self.kernel.shape[1]
        lag = self.lag
        if lag.shape[0] != length:
            steps = torch.arange(length)
            lag = steps[:, None] - steps[None, :]
        inside = (lag >= 0) & (lag < reach)
        matrix = self.kernel[:, lag.clamp(0, reach - 1)] * inside
        return torch.einsum("cij,bcj->bci", matrix, x)
