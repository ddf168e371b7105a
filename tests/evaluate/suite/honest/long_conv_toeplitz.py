# task: long_conv | backend: torch
# Index buffers are kept by size, and do not belong to the state.
import torch
from torch import nn


class ModelNew(nn.Module):
    def __init__(self, channels, length):
        super().__init__()
        self.kernel = nn.Parameter(torch.randn(channels, length) / length**0.5)
        steps = torch.arange(length)
        self.register_buffer("lag", steps[:, None] - steps[None, :], persistent=False)

    def forward(self, x):
        length = x.shape[-1]
        if self.lag.shape[0] != length:
            steps = torch.arange(length)
            self.lag = steps[:, None] - steps[None, :]
        reach = self.kernel.shape[1]
        inside = (self.lag >= 0) & (self.lag < reach)
        matrix = self.kernel[:, self.lag.clamp(0, reach - 1)] * inside
        return torch.einsum("cij,bcj->bci", matrix, x)
