"""Multi-layer perceptrons."""

import torch.nn as nn

from kernelmill.tasks.suites.entry import Category, sizes

tasks = Category("arch")
X = "torch.rand(batch_size, input_size)"
SIGNATURE = "input_size, layer_sizes, output_size"
LAYERS = {"network": "fully_connected(input_size, layer_sizes, output_size)"}


def fully_connected(input_size, layer_sizes, output_size):
    """Linear layers with a ReLU between each two."""
    widths = [input_size, *layer_sizes]
    layers = []
    for before, after in zip(widths, widths[1:], strict=False):
        layers += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(widths[-1], output_size))


def perceptron(batch_size, input_size, layer_sizes, output_size):
    return {
        "batch_size": batch_size,
        "input_size": input_size,
        "layer_sizes": layer_sizes,
        "output_size": output_size,
    }


@tasks.add(
    sizes(
        head=perceptron(128, 16384, [16384, 16384], 8192),
        paper=perceptron(1, 1000, [400, 800], 500),
        small=perceptron(16, 256, [192, 320], 128),
    ),
    signature=SIGNATURE,
    layers=LAYERS,
    x=X,
    kernelbench="L3/1",
)
def mlp(self, x):
    """A perceptron with two hidden layers and ReLU between its three linear layers."""
    return self.network(x)


@tasks.add(
    sizes(
        head=perceptron(128, 16384, [32768, 32768], 16384),
        paper=perceptron(1, 1000, [2000, 2000], 10),
        small=perceptron(16, 256, [512, 512], 256),
    ),
    signature=SIGNATURE,
    layers=LAYERS,
    x=X,
    kernelbench="L3/2",
)
def shallow_wide_mlp(self, x):
    """A perceptron with two hidden ReLU layers that are wider than its input and output."""
    return self.network(x)


@tasks.add(
    sizes(
        head=perceptron(1024, 8192, [1024] * 16, 8192),
        paper=perceptron(1, 1000, [50] * 8, 10),
        small=perceptron(32, 256, [64] * 8, 128),
    ),
    signature=SIGNATURE,
    layers=LAYERS,
    x=X,
    kernelbench="L3/3",
)
def deep_narrow_mlp(self, x):
    """A perceptron with many hidden ReLU layers that are narrower than its input."""
    return self.network(x)
