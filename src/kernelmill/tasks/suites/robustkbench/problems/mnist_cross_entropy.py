"""The mean cross entropy of class numbers."""

import torch
import torch.nn as nn
import torch.nn.functional as F

CONFIGS = {
    "forward": {
        "single": ([{}], [{"batch_size": 64, "num_classes": 10}], [{}]),
        "multi": (
            [{}],
            [{"batch_size": 64, "num_classes": 10}, {"batch_size": 4096, "num_classes": 100}],
            [{}],
        ),
        "small": (
            [{}],
            [{"batch_size": 16, "num_classes": 10}, {"batch_size": 5, "num_classes": 7}],
            [{}],
        ),
    },
    "backward": {
        "single": ([{}], [{"batch_size": 64, "num_classes": 10}], [{}]),
        "multi": (
            [{}],
            [{"batch_size": 64, "num_classes": 10}, {"batch_size": 4096, "num_classes": 100}],
            [{}],
        ),
        "small": (
            [{}],
            [{"batch_size": 16, "num_classes": 10}, {"batch_size": 5, "num_classes": 7}],
            [{}],
        ),
    },
}

input_names = ["predictions", "targets"]


def forward_fn(predictions, targets):
    return F.cross_entropy(predictions, targets)


class Model(nn.Module):
    def forward(self, predictions, targets, fn=forward_fn):
        return fn(predictions, targets)


def get_inputs(batch_size, num_classes):
    targets = torch.randint(0, num_classes, (batch_size,))
    return [torch.randn(batch_size, num_classes), targets]
