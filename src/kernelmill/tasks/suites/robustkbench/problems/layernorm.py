"""Layer normalisation over the last three axes, with a weight and a bias of their full shape."""

import torch
import torch.nn as nn
import torch.nn.functional as F

CONFIGS = {
    "forward": {
        "single": (
            [{"init_method": "random"}],
            [{"batch_size": 1}],
            [{"num_features": 64, "dim1": 256, "dim2": 256}],
        ),
        "multi": (
            [{"init_method": "random"}, {"init_method": "standard"}],
            [{"batch_size": 1}, {"batch_size": 8}],
            [
                {"num_features": 1, "dim1": 256, "dim2": 256},
                {"num_features": 64, "dim1": 256, "dim2": 256},
            ],
        ),
        "small": (
            [{"init_method": "random"}],
            [{"batch_size": 3}, {"batch_size": 1}],
            [{"num_features": 4, "dim1": 10, "dim2": 12}],
        ),
    },
    "backward": {
        "single": (
            [{"init_method": "random"}],
            [{"batch_size": 32}],
            [{"num_features": 64, "dim1": 256, "dim2": 256}],
        ),
        "multi": (
            [{"init_method": "random"}, {"init_method": "standard"}],
            [{"batch_size": 16}, {"batch_size": 64}],
            [
                {"num_features": 64, "dim1": 256, "dim2": 256},
                {"num_features": 32, "dim1": 512, "dim2": 256},
            ],
        ),
        "small": (
            [{"init_method": "random"}],
            [{"batch_size": 3}],
            [{"num_features": 4, "dim1": 10, "dim2": 12}],
        ),
    },
}

input_names = ["x"]


def forward_fn(x, weight, bias, eps=1e-5):
    return F.layer_norm(x, weight.shape, weight, bias, eps)


class Model(nn.Module):
    def __init__(self, num_features, dim1, dim2, init_method="random"):
        super().__init__()
        shape = (num_features, dim1, dim2)
        if init_method == "random":
            self.weight = nn.Parameter(torch.randn(shape))
            self.bias = nn.Parameter(torch.randn(shape))
        else:
            self.weight = nn.Parameter(torch.ones(shape))
            self.bias = nn.Parameter(torch.zeros(shape))

    def forward(self, x, fn=forward_fn):
        return fn(x, self.weight, self.bias)


def get_inputs(batch_size, num_features, dim1, dim2):
    return [torch.randn(batch_size, num_features, dim1, dim2)]
