"""The basic block of ResNet with given statistics of its batch norms."""

import torch
import torch.nn as nn
import torch.nn.functional as F

CONFIGS = {
    "forward": {
        "single": (
            [
                {"out_channels": 64, "stride": 1, "downsample": False},
                {"out_channels": 128, "stride": 2, "downsample": True},
            ],
            [{"batch_size": 32}],
            [{"in_channels": 64}],
        ),
        "multi": (
            [
                {"out_channels": 64, "stride": 1, "downsample": False},
                {"out_channels": 128, "stride": 2, "downsample": True},
                {"out_channels": 256, "stride": 2, "downsample": True},
                {"out_channels": 512, "stride": 2, "downsample": True},
            ],
            [{"batch_size": 32}, {"batch_size": 16}],
            [{"in_channels": 64}, {"in_channels": 128}, {"in_channels": 256}],
        ),
        "small": (
            [
                {"out_channels": 6, "stride": 1, "downsample": False},
                {"out_channels": 8, "stride": 2, "downsample": True},
            ],
            [{"batch_size": 2, "height": 14, "width": 15}],
            [{"in_channels": 6}],
        ),
    }
}

input_names = ["x"]


def norm(x, weight, bias, mean, variance):
    return F.batch_norm(x, mean, variance, weight, bias, training=False)


def forward_fn(
    x,
    conv1_weight,
    bn1_weight,
    bn1_bias,
    bn1_mean,
    bn1_var,
    conv2_weight,
    bn2_weight,
    bn2_bias,
    bn2_mean,
    bn2_var,
    downsample_weight,
    downsample_bn_weight,
    downsample_bn_bias,
    downsample_bn_mean,
    downsample_bn_var,
    stride,
    downsample,
):
    out = F.conv2d(x, conv1_weight, stride=stride, padding=1)
    out = torch.relu(norm(out, bn1_weight, bn1_bias, bn1_mean, bn1_var))
    out = F.conv2d(out, conv2_weight, padding=1)
    out = norm(out, bn2_weight, bn2_bias, bn2_mean, bn2_var)
    if downsample:
        x = F.conv2d(x, downsample_weight, stride=stride)
        x = norm(x, downsample_bn_weight, downsample_bn_bias, downsample_bn_mean, downsample_bn_var)
    return torch.relu(out + x)


class Model(nn.Module):
    """The shortcut is a convolution where asked for, or where the channels differ."""

    def __init__(self, in_channels, out_channels, stride=1, downsample=False):
        super().__init__()
        self.stride = stride
        self.downsample = downsample or in_channels != out_channels
        self.add("conv1", "bn1", in_channels, out_channels, 3)
        self.add("conv2", "bn2", out_channels, out_channels, 3)
        if self.downsample:
            self.add("downsample", "downsample_bn", in_channels, out_channels, 1)

    def add(self, conv, bn, in_channels, out_channels, kernel_size):
        weight = torch.empty(out_channels, in_channels, kernel_size, kernel_size)
        nn.init.kaiming_normal_(weight, mode="fan_out", nonlinearity="relu")
        self.register_parameter(f"{conv}_weight", nn.Parameter(weight))
        self.register_parameter(f"{bn}_weight", nn.Parameter(torch.ones(out_channels)))
        self.register_parameter(f"{bn}_bias", nn.Parameter(torch.zeros(out_channels)))
        self.register_buffer(f"{bn}_mean", torch.zeros(out_channels))
        self.register_buffer(f"{bn}_var", torch.ones(out_channels))

    def arguments(self, conv, bn):
        names = (f"{conv}_weight", f"{bn}_weight", f"{bn}_bias", f"{bn}_mean", f"{bn}_var")
        return [getattr(self, name, None) for name in names]

    def forward(self, x, fn=forward_fn):
        return fn(
            x,
            *self.arguments("conv1", "bn1"),
            *self.arguments("conv2", "bn2"),
            *self.arguments("downsample", "downsample_bn"),
            self.stride,
            self.downsample,
        )


def get_inputs(batch_size, in_channels, height=224, width=224):
    return [torch.randn(batch_size, in_channels, height, width)]
