"""Maximum pooling over 2 x 2."""

import torch
import torch.nn as nn
import torch.nn.functional as F

CONFIGS = {
    "forward": {
        "single": (
            [{"kernel_size": 2}],
            [{"batch_size": 64, "in_channels": 64, "height": 28, "width": 28}],
            [{}],
        ),
        "multi": (
            [{"kernel_size": 2}],
            [
                {"batch_size": 64, "in_channels": 64, "height": 28, "width": 28},
                {"batch_size": 64, "in_channels": 128, "height": 12, "width": 12},
            ],
            [{}],
        ),
        "small": (
            [{"kernel_size": 2}],
            [
                {"batch_size": 2, "in_channels": 5, "height": 10, "width": 10},
                {"batch_size": 1, "in_channels": 3, "height": 7, "width": 7},
            ],
            [{}],
        ),
    },
    "backward": {
        "single": ([{}], [{"batch_size": 64, "in_channels": 64, "height": 28, "width": 28}], [{}]),
        "multi": (
            [{}],
            [
                {"batch_size": 64, "in_channels": 64, "height": 28, "width": 28},
                {"batch_size": 64, "in_channels": 128, "height": 12, "width": 12},
            ],
            [{}],
        ),
        "small": (
            [{}],
            [
                {"batch_size": 2, "in_channels": 5, "height": 10, "width": 10},
                {"batch_size": 1, "in_channels": 3, "height": 7, "width": 7},
            ],
            [{}],
        ),
    },
}

input_names = ["x"]


def forward_fn(x, kernel_size=2):
    return F.max_pool2d(x, kernel_size)


class Model(nn.Module):
    def __init__(self, kernel_size=2):
        super().__init__()
        self.kernel_size = kernel_size

    def forward(self, x, fn=forward_fn):
        return fn(x, self.kernel_size)


def get_inputs(batch_size, in_channels, height, width):
    return [torch.randn(batch_size, in_channels, height, width)]
