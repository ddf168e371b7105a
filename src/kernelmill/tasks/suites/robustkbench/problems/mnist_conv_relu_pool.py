"""A 3 x 3 convolution, ReLU and maximum pooling over 2 x 2."""

import torch
import torch.nn as nn
import torch.nn.functional as F

CONFIGS = {
    "forward": {
        "single": (
            [{"out_channels": 32, "kernel_size": 3, "stride": 1, "init_method": "kaiming"}],
            [{"batch_size": 64, "height": 28, "width": 28}],
            [{"in_channels": 1}],
        ),
        "multi": (
            [
                {"out_channels": 32, "kernel_size": 3, "stride": 1, "init_method": "kaiming"},
                {"out_channels": 64, "kernel_size": 3, "stride": 1, "init_method": "kaiming"},
            ],
            [
                {"batch_size": 64, "height": 28, "width": 28},
                {"batch_size": 64, "height": 13, "width": 13},
            ],
            [{"in_channels": 1}, {"in_channels": 32}],
        ),
        "small": (
            [{"out_channels": 6, "kernel_size": 3, "stride": 1, "init_method": "kaiming"}],
            [
                {"batch_size": 3, "height": 11, "width": 11},
                {"batch_size": 2, "height": 8, "width": 9},
            ],
            [{"in_channels": 4}],
        ),
    },
    "backward": {
        "single": (
            [{"out_channels": 32, "kernel_size": 3, "stride": 1, "init_method": "kaiming"}],
            [{"batch_size": 64, "height": 28, "width": 28}],
            [{"in_channels": 1}],
        ),
        "multi": (
            [
                {"out_channels": 32, "kernel_size": 3, "stride": 1, "init_method": "kaiming"},
                {"out_channels": 64, "kernel_size": 3, "stride": 1, "init_method": "kaiming"},
            ],
            [
                {"batch_size": 64, "height": 28, "width": 28},
                {"batch_size": 64, "height": 13, "width": 13},
            ],
            [{"in_channels": 1}, {"in_channels": 13}],
        ),
        "small": (
            [{"out_channels": 6, "kernel_size": 3, "stride": 1, "init_method": "kaiming"}],
            [
                {"batch_size": 3, "height": 11, "width": 11},
                {"batch_size": 2, "height": 8, "width": 9},
            ],
            [{"in_channels": 4}],
        ),
    },
}

input_names = ["x"]


def forward_fn(x, weights, biases, stride=1):
    return F.max_pool2d(torch.relu(F.conv2d(x, weights, biases, stride=stride)), 2)


class Model(nn.Module):
    def __init__(self, in_channels, out_channels, kernel_size, stride=1, init_method="kaiming"):
        super().__init__()
        weights = torch.empty(out_channels, in_channels, kernel_size, kernel_size)
        initialise = {"kaiming": nn.init.kaiming_normal_, "xavier": nn.init.xavier_normal_}
        self.weights = nn.Parameter(initialise[init_method](weights))
        self.biases = nn.Parameter(0.1 * torch.randn(out_channels))
        self.stride = stride

    def forward(self, x, fn=forward_fn):
        return fn(x, self.weights, self.biases, self.stride)


def get_inputs(batch_size, in_channels, height, width):
    return [torch.randn(batch_size, in_channels, height, width)]
