# task: long_conv | backend: torch
import torch
from torch import nn


class ModelNew(nn.Module):
    def __init__(self, channels, length):
        super().__init__()
        self.kernel = nn.Parameter(torch.randn(channels, length) / length**0.5)

    def forward(self, x):
        length = x.shape[-1]
        size = length + self.kernel.shape[1]
        spectrum = torch.fft.rfft(x, n=size) * torch.fft.rfft(self.kernel, n=size)
        return torch.fft.irfft(spectrum, n=size)[..., :length]
