"""Rotary position embedding of queries and keys (rotate-half form, as in Llama)."""

import torch
import torch.nn as nn

batch_size = 2
heads = 8
tokens = 1024
head_dim = 64


class Model(nn.Module):
    def __init__(self, head_dim, base):
        super().__init__()
        frequencies = base ** (-torch.arange(0, head_dim, 2).float() / head_dim)
        self.register_buffer("frequencies", frequencies, persistent=False)

    @staticmethod
    def rotate_half(x):
        a, b = x.chunk(2, dim=-1)
        return torch.cat((-b, a), dim=-1)

    def forward(self, q, k, positions):
        angles = positions[:, None, :, None] * self.frequencies
        angles = torch.cat((angles, angles), dim=-1)
        cos, sin = angles.cos(), angles.sin()
        return q * cos + self.rotate_half(q) * sin, k * cos + self.rotate_half(k) * sin


def get_inputs():
    shape = (batch_size, heads, tokens, head_dim)
    positions = torch.arange(tokens).expand(batch_size, tokens).contiguous()
    return [torch.randn(*shape), torch.randn(*shape), positions]


def get_init_inputs():
    return [head_dim, 10000.0]
