"""Window attention of a Swin transformer: relative position bias, shifted-window mask."""

import torch
import torch.nn as nn

windows = 32
heads = 4
window = 49
head_dim = 32


class Model(nn.Module):
    def __init__(self, heads, window, head_dim):
        super().__init__()
        self.scale = head_dim**-0.5
        self.bias = nn.Parameter(torch.randn(heads, window, window) * 0.5)

    def forward(self, q, k, v, mask):
        scores = (q * self.scale) @ k.transpose(-2, -1) + self.bias
        scores = scores + mask[:, None]
        out = torch.softmax(scores, dim=-1) @ v
        return out.transpose(1, 2).reshape(out.shape[0], out.shape[2], -1)


def get_inputs():
    q, k, v = (torch.randn(windows, heads, window, head_dim) for _ in range(3))
    mask = torch.where(torch.rand(windows, window, window) < 0.2, -100.0, 0.0)
    return [q, k, v, mask]


def get_init_inputs():
    return [heads, window, head_dim]
