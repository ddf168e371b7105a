"""LayerNorm of token features behind a residual connection (post-norm transformer)."""

import torch
import torch.nn as nn

batch_size = 16
tokens = 256
features = 768


class Model(nn.Module):
    def __init__(self, features, eps=1e-5):
        super().__init__()
        self.norm = nn.LayerNorm(features, eps=eps)
        nn.init.normal_(self.norm.weight, 1.0, 0.2)
        nn.init.normal_(self.norm.bias, 0.0, 0.2)

    def forward(self, x, branch):
        return self.norm(x + branch)


def get_inputs():
    return [torch.randn(batch_size, tokens, features), torch.randn(batch_size, tokens, features)]


def get_init_inputs():
    return [features]
