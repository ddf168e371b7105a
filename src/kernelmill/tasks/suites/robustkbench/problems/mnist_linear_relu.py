"""A linear layer and ReLU."""

import torch
import torch.nn as nn
import torch.nn.functional as F

CONFIGS = {
    "forward": {
        "single": (
            [{"num_output_features": 128, "init_method": "kaiming"}],
            [{"batch_size": 64}],
            [{"num_input_features": 1600}],
        ),
        "multi": (
            [
                {"num_output_features": 128, "init_method": "kaiming"},
                {"num_output_features": 256, "init_method": "xavier"},
            ],
            [{"batch_size": 64}, {"batch_size": 4}],
            [{"num_input_features": 128}, {"num_input_features": 512}],
        ),
        "small": (
            [{"num_output_features": 10, "init_method": "kaiming"}],
            [{"batch_size": 6}, {"batch_size": 1}],
            [{"num_input_features": 33}],
        ),
    },
    "backward": {
        "single": (
            [{"num_output_features": 10, "init_method": "kaiming"}],
            [{"batch_size": 64}],
            [{"num_input_features": 128}],
        ),
        "multi": (
            [
                {"num_output_features": 10, "init_method": "kaiming"},
                {"num_output_features": 4096, "init_method": "xavier"},
            ],
            [{"batch_size": 64}, {"batch_size": 4}],
            [{"num_input_features": 128}, {"num_input_features": 4096}],
        ),
        "small": (
            [{"num_output_features": 10, "init_method": "kaiming"}],
            [{"batch_size": 6}, {"batch_size": 1}],
            [{"num_input_features": 33}],
        ),
    },
}

input_names = ["x"]


def forward_fn(x, weights, biases):
    return torch.relu(F.linear(x, weights, biases))


class Model(nn.Module):
    def __init__(self, num_input_features, num_output_features, init_method="kaiming"):
        super().__init__()
        weights = torch.empty(num_output_features, num_input_features)
        initialise = {"kaiming": nn.init.kaiming_normal_, "xavier": nn.init.xavier_normal_}
        self.weights = nn.Parameter(initialise[init_method](weights))
        self.biases = nn.Parameter(0.1 * torch.randn(num_output_features))

    def forward(self, x, fn=forward_fn):
        return fn(x, self.weights, self.biases)


def get_inputs(batch_size, num_input_features):
    return [torch.randn(batch_size, num_input_features)]
