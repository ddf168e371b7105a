# task: chain | backend: torch | expect: @late | level: L1
"""Section 4, host thread: PyTorch's own inter-op threads do the work after the return."""

import torch
from torch import nn


@torch.jit.script
def work(x: torch.Tensor, w: torch.Tensor, out: torch.Tensor):
    for _ in range(12):
        x = torch.tanh(x @ w * 0.125)
    out.copy_(x)
    return out


@torch.jit.script
def launch(x: torch.Tensor, w: torch.Tensor, out: torch.Tensor):
    return torch.jit.fork(work, x, w, out)


class ModelNew(nn.Module):
    def forward(self, x, w):
        out = torch.zeros_like(x)
        self.future = [launch(x.detach(), w.detach(), out.detach())]
        return out
