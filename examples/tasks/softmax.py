"""Attention probabilities: scaled scores plus an additive mask, softmax over the keys."""

import torch
import torch.nn as nn

batch_size = 4
heads = 8
queries = 256
keys = 384


class Model(nn.Module):
    def __init__(self, scale):
        super().__init__()
        self.scale = scale

    def forward(self, scores, mask):
        return torch.softmax(scores * self.scale + mask, dim=-1)


def get_inputs():
    scores = torch.randn(batch_size, heads, queries, keys) * 8
    mask = torch.where(torch.rand(batch_size, 1, 1, keys) < 0.1, -1e4, 0.0)
    return [scores, mask]


def get_init_inputs():
    return [0.125]
