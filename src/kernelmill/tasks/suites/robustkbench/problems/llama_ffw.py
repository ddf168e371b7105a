"""The feed-forward block of LLaMA: down(silu(gate x) * up x)."""

import torch
import torch.nn as nn
import torch.nn.functional as F

CONFIGS = {
    "forward": {
        "single": (
            [{"up_features": 14336}],
            [{"batch_size": 2, "num_tokens": 128}],
            [{"num_features": 4096}],
        ),
        "multi": (
            [{"up_features": 7168}, {"up_features": 14336}],
            [{"batch_size": 2, "num_tokens": 128}, {"batch_size": 4, "num_tokens": 1024}],
            [{"num_features": 2048}, {"num_features": 4096}],
        ),
        "small": (
            [{"up_features": 112}],
            [{"batch_size": 2, "num_tokens": 9}],
            [{"num_features": 40}],
        ),
    },
}

input_names = ["x"]


def forward_fn(x, gate_proj, up_proj, down_proj):
    return F.linear(F.silu(F.linear(x, gate_proj)) * F.linear(x, up_proj), down_proj)


class Model(nn.Module):
    def __init__(self, num_features, up_features):
        super().__init__()
        self.gate_proj = nn.Parameter(torch.randn(up_features, num_features) / num_features**0.5)
        self.up_proj = nn.Parameter(torch.randn(up_features, num_features) / num_features**0.5)
        self.down_proj = nn.Parameter(torch.randn(num_features, up_features) / up_features**0.5)

    def forward(self, x, fn=forward_fn):
        return fn(x, self.gate_proj, self.up_proj, self.down_proj)


def get_inputs(batch_size, num_tokens, num_features):
    return [torch.randn(batch_size, num_tokens, num_features)]
