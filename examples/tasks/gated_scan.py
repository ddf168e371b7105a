"""Gated running sum along time: h[t] = sum of exp(s[t] - s[i]) x[i] with decays s (log space)."""

import torch
import torch.nn as nn
import torch.nn.functional as F

batch_size = 4
tokens = 256
features = 384


class Model(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.bias = nn.Parameter(torch.randn(features) + 4)

    def forward(self, x, gate, out_gate):
        decay = F.logsigmoid(gate + self.bias).cumsum(dim=1)
        value = F.softplus(x).log() - decay
        hidden = torch.exp(decay + torch.logcumsumexp(value, dim=1))
        return hidden * torch.sigmoid(out_gate)


def get_inputs():
    shape = (batch_size, tokens, features)
    return [torch.randn(*shape), torch.randn(*shape), torch.randn(*shape)]


def get_init_inputs():
    return [features]
