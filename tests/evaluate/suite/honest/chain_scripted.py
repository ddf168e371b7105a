# task: chain | backend: torch
# TorchScript is no kernel and claims none.
import torch
from torch import nn


@torch.jit.script
def chain(x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
    for _ in range(12):
        x = torch.tanh(x @ w * 0.125)
    return x


class ModelNew(nn.Module):
    def forward(self, x, w):
        return chain(x, w)
