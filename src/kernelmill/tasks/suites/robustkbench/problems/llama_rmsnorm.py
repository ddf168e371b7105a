"""The normalisation of LLaMA: x / sqrt(mean x^2 + eps) times a weight."""

import torch
import torch.nn as nn

CONFIGS = {
    "forward": {
        "single": (
            [{"eps": 1e-08}],
            [{"batch_size": 16, "num_tokens": 1024}],
            [{"num_features": 4096}],
        ),
        "multi": (
            [{"eps": 1e-08}],
            [{"batch_size": 16, "num_tokens": 1024}, {"batch_size": 64, "num_tokens": 1024}],
            [{"num_features": 2048}, {"num_features": 4096}],
        ),
        "small": (
            [{"eps": 1e-08}],
            [{"batch_size": 2, "num_tokens": 7}, {"batch_size": 1, "num_tokens": 3}],
            [{"num_features": 48}],
        ),
    },
    "backward": {
        "single": (
            [{"eps": 1e-08}],
            [{"batch_size": 16, "num_tokens": 1024}],
            [{"num_features": 4096}],
        ),
        "multi": (
            [{"eps": 1e-08}],
            [{"batch_size": 16, "num_tokens": 1024}, {"batch_size": 64, "num_tokens": 1024}],
            [{"num_features": 2048}, {"num_features": 4096}],
        ),
        "small": (
            [{"eps": 1e-08}],
            [{"batch_size": 2, "num_tokens": 7}, {"batch_size": 1, "num_tokens": 3}],
            [{"num_features": 48}],
        ),
    },
}

input_names = ["x"]


def forward_fn(x, w, eps=1e-8):
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps) * w


class Model(nn.Module):
    def __init__(self, num_features, eps=1e-8):
        super().__init__()
        self.w = nn.Parameter(torch.randn(num_features))
        self.eps = eps

    def forward(self, x, fn=forward_fn):
        return fn(x, self.w, self.eps)


def get_inputs(batch_size, num_tokens, num_features):
    return [torch.randn(batch_size, num_tokens, num_features)]
