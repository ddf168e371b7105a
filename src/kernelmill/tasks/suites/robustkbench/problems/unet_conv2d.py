"""A 3 x 3 convolution of a U-Net."""

import torch
import torch.nn as nn
import torch.nn.functional as F

CONFIGS = {
    "forward": {
        "single": (
            [{"out_channels": 64, "stride": 1, "padding": 1, "init_method": "xavier"}],
            [{"batch_size": 8}],
            [{"in_channels": 64}],
        ),
        "multi": (
            [
                {"out_channels": 128, "init_method": "xavier", "stride": 1, "padding": 1},
                {"out_channels": 64, "init_method": "xavier", "stride": 2, "padding": 1},
                {"out_channels": 64, "init_method": "xavier", "stride": 1, "padding": 0},
            ],
            [{"batch_size": 32}, {"batch_size": 16}],
            [{"in_channels": 256}, {"in_channels": 128}],
        ),
        "small": (
            [
                {"out_channels": 6, "init_method": "xavier", "stride": 1, "padding": 1},
                {"out_channels": 6, "init_method": "xavier", "stride": 2, "padding": 1},
            ],
            [{"batch_size": 2, "height": 9, "width": 11}],
            [{"in_channels": 5}],
        ),
    }
}

input_names = ["x"]


def forward_fn(x, weights, biases, stride=1, padding=1):
    return F.conv2d(x, weights, biases, stride=stride, padding=padding)


class Model(nn.Module):
    def __init__(self, in_channels, out_channels, stride=1, padding=1, init_method="xavier"):
        super().__init__()
        weights = torch.empty(out_channels, in_channels, 3, 3)
        initialise = {"kaiming": nn.init.kaiming_normal_, "xavier": nn.init.xavier_normal_}
        self.weights = nn.Parameter(initialise[init_method](weights))
        self.biases = nn.Parameter(0.1 * torch.randn(out_channels))
        self.stride = stride
        self.padding = padding

    def forward(self, x, fn=forward_fn):
        return fn(x, self.weights, self.biases, self.stride, self.padding)


def get_inputs(batch_size, in_channels, height=32, width=32):
    return [torch.randn(batch_size, in_channels, height, width)]
