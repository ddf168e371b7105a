"""Fused tasks that begin with a convolution."""

from functools import partial

import torch
import torch.nn.functional as F

from kernelmill.tasks.suites.entry import Category
from kernelmill.tasks.suites.multikernelbench.fuse.table import (
    TRAINED,
    WEAK2,
    WEAK4,
    form,
    fused,
    parameter,
)

tasks = Category("fuse")
BASIC = "in_channels, out_channels, kernel_size"
ZERO = "zeros@1e-4 input-independent@1e-4"


def two(kernelbench, head, values, paper_values, *, signature="", **options):
    """A task over images: input shapes and further constructor arguments at head and in the
    paper, where the input is always (128, 3, 32, 32) and the convolution (3, 16, 3)."""
    return conv(2, kernelbench, head, values, paper_values, signature, options)


def three(kernelbench, head, values, paper_values, *, signature="", **options):
    """The same over volumes: (128, 3, 16, 32, 32) in the paper."""
    return conv(3, kernelbench, head, values, paper_values, signature, options)


def conv(dimensions, kernelbench, head, values, paper_values, signature, options):
    small = (3, 16, options.pop("kernel", 3))
    batch = options.pop("paper_batch", 128)
    shape = (batch, 3, 32, 32) if dimensions == 2 else (batch, 3, 16, 32, 32)
    options.setdefault("conv", f"nn.Conv{dimensions}d(in_channels, out_channels, kernel_size)")
    names = BASIC + (f", {signature}" if signature else "")
    paper = (shape, (*small, *paper_values))
    return fused(tasks, kernelbench, names, (head, values), paper, **options)


task = partial(fused, tasks)


@two("52", (64, 64, 128, 128), (64, 128, 3), (), norm="nn.BatchNorm2d(out_channels)", note=TRAINED)
def conv2d_activation_batch_norm(self, x):
    """A 2-d convolution, Mish spelled out and batch norm."""
    x = self.conv(x)
    return self.norm(torch.tanh(F.softplus(x)) * x)


@two(
    "21", (128, 8, 256, 256), (8, 32, 3, 8, (32, 1, 1), (32, 1, 1)), (8, (16, 1, 1), (16, 1, 1)),
    signature="num_groups, bias_shape, scale_shape", bias=parameter("bias_shape"),
    scale=parameter("scale_shape"), norm="nn.GroupNorm(num_groups, out_channels)",
)  # fmt: skip
def conv2d_add_scale_sigmoid_group_norm(self, x):
    """A 2-d convolution, a bias, learned factors, sigmoid and group norm."""
    return self.norm(torch.sigmoid((self.conv(x) + self.bias) * self.scale))


@two(
    "65", (128, 8, 384, 384), (8, 64, 3, 4), (2,), signature="pool_kernel_size",
    pool="nn.AvgPool2d(pool_kernel_size)", **WEAK4,
)  # fmt: skip
def conv2d_avg_pool_sigmoid_sum(self, x):
    """A 2-d convolution, average pooling, sigmoid and the sum of each sample."""
    return torch.sum(torch.sigmoid(self.pool(self.conv(x))), dim=[1, 2, 3])


@two(
    "73", (128, 8, 128, 128), (8, 64, 3, 2.0), (2.0,), signature="scaling_factor",
    norm="nn.BatchNorm2d(out_channels)", note=TRAINED,
)  # fmt: skip
def conv2d_batch_norm_scaling(self, x, *, scaling_factor):
    """A 2-d convolution, batch norm and a factor."""
    return self.norm(self.conv(x)) * scaling_factor


@two("71", (128, 8, 128, 128), (8, 64, 3, 2), (2,), signature="divisor")
def conv2d_divide_leaky_relu(self, x, *, divisor):
    """A 2-d convolution, a division and leaky ReLU."""
    return F.leaky_relu(self.conv(x) / divisor, negative_slope=0.01)


@two("67", (128, 8, 256, 256), (8, 64, 3), (), **WEAK2)
def conv2d_gelu_global_avg_pool(self, x):
    """A 2-d convolution, GELU and the mean of each channel."""
    return F.adaptive_avg_pool2d(F.gelu(self.conv(x)), 1).squeeze(-1).squeeze(-1)


@two(
    "85", (128, 8, 128, 128), (8, 64, 3, 16, (64, 1, 1), 4, 0.0, 1.0),
    (8, (16, 1, 1), 2, 0.0, 1.0),
    signature="num_groups, scale_shape, maxpool_kernel_size, clamp_min, clamp_max",
    norm="nn.GroupNorm(num_groups, out_channels)", scale="nn.Parameter(torch.ones(scale_shape))",
    pool="nn.MaxPool2d(maxpool_kernel_size)",
)  # fmt: skip
def conv2d_group_norm_scale_max_pool_clamp(self, x, *, clamp_min, clamp_max):
    """A 2-d convolution, group norm, learned factors, maximum pooling, cut to a range."""
    x = self.pool(self.norm(self.conv(x)) * self.scale)
    return torch.clamp(x, clamp_min, clamp_max)


@two(
    "92", (128, 8, 128, 128), (8, 64, 3, 16), (8,), signature="groups",
    norm="nn.GroupNorm(groups, out_channels)",
)  # fmt: skip
def conv2d_group_norm_tanh_hard_swish_residual_add_log_sum_exp(self, x):
    """A 2-d convolution, plus hard Swish of tanh of its group norm, log sum exp of channels."""
    x = self.conv(x)
    return torch.logsumexp(x + F.hardswish(torch.tanh(self.norm(x))), dim=1, keepdim=True)


@two("69", (128, 8, 128, 128), (8, 64, 3), ())
def conv2d_hard_swish_relu(self, x):
    """A 2-d convolution, hard Swish and ReLU."""
    return torch.relu(F.hardswish(self.conv(x)))


@two(
    "17", (128, 64, 128, 128), (64, 128, 3, 2.0), (2.0,), signature="divide_by",
    norm="nn.InstanceNorm2d(out_channels)",
)  # fmt: skip
def conv2d_instance_norm_divide(self, x, *, divide_by):
    """A 2-d convolution, instance norm and a division."""
    return self.norm(self.conv(x)) / divide_by


@two(
    "31", (128, 64, 128, 128), (64, 128, 3, 0.5, (128, 1, 1), 2.0), (0.5, (16, 1, 1), 2.0),
    signature="constant_value, bias_shape, scaling_factor", bias=parameter("bias_shape"),
)  # fmt: skip
def conv2d_min_add_multiply(self, x, *, constant_value, scaling_factor):
    """A 2-d convolution, cut above, a bias and a factor."""
    return (torch.clamp(self.conv(x), max=constant_value) + self.bias) * scaling_factor


@two("25", (128, 16, 256, 256), (16, 64, 3), ())
def conv2d_min_tanh_tanh(self, x):
    """A 2-d convolution, the smallest channel, tanh twice."""
    return torch.tanh(torch.tanh(torch.min(self.conv(x), dim=1, keepdim=True)[0]))


@two("4", (64, 64, 256, 256), (64, 128, 3), ())
def conv2d_mish_mish(self, x):
    """A 2-d convolution and Mish twice."""
    return F.mish(F.mish(self.conv(x)))


@two(
    "54", (64, 64, 256, 256), (64, 64, 3, (64, 1, 1)), ((16, 1, 1),),
    signature="multiplier_shape", multiplier=parameter("multiplier_shape"),
)  # fmt: skip
def conv2d_multiply_leaky_relu_gelu(self, x):
    """A 2-d convolution, learned factors, leaky ReLU and GELU."""
    return F.gelu(F.leaky_relu(self.conv(x) * self.multiplier))


@two(
    "1", (128, 64, 128, 128), (64, 128, 3, (128, 1, 1)), ((16, 1, 1),), signature="bias_shape",
    bias=parameter("bias_shape"),
)  # fmt: skip
def conv2d_relu_bias_add(self, x):
    """A 2-d convolution, ReLU and a bias."""
    return torch.relu(self.conv(x)) + self.bias


@two("57", (128, 8, 128, 128), (8, 64, 3), ())
def conv2d_relu_hard_swish(self, x):
    """A 2-d convolution, ReLU and hard Swish spelled out."""
    x = torch.relu(self.conv(x))
    return x * torch.clamp((x + 3) / 6, 0, 1)


@two("32", (64, 64, 256, 256), (64, 128, 3, 2.0), (2.0,), signature="scale_factor")
def conv2d_scaling_min(self, x, *, scale_factor):
    """A 2-d convolution, a factor and the smallest channel."""
    return torch.min(self.conv(x) * scale_factor, dim=1, keepdim=True)[0]


@two(
    "35", (128, 64, 128, 128), (64, 128, 3, 0.5, 2), (0.5, 2),
    signature="subtract_value, pool_kernel_size", pool="nn.MaxPool2d(pool_kernel_size)",
)  # fmt: skip
def conv2d_subtract_hard_swish_max_pool_mish(self, x, *, subtract_value):
    """A 2-d convolution less a number, hard Swish, maximum pooling and Mish."""
    return F.mish(self.pool(F.hardswish(self.conv(x) - subtract_value)))


@two(
    "87", (128, 8, 256, 256), (8, 64, 3, 0.5, 0.2), (0.5, 0.2),
    signature="subtract_value_1, subtract_value_2",
)  # fmt: skip
def conv2d_subtract_subtract_mish(self, x, *, subtract_value_1, subtract_value_2):
    """A 2-d convolution less two numbers, and Mish."""
    return F.mish(self.conv(x) - subtract_value_1 - subtract_value_2)


@two(
    "46", (128, 64, 128, 128), (64, 128, 3, 0.5, 0.2, 2), (0.5, 0.2, 2),
    signature="subtract1_value, subtract2_value, kernel_size_pool",
    pool="nn.AvgPool2d(kernel_size_pool)",
)  # fmt: skip
def conv2d_subtract_tanh_subtract_avg_pool(self, x, *, subtract1_value, subtract2_value):
    """A 2-d convolution less a number, tanh, less a number, average pooling."""
    return self.pool(torch.tanh(self.conv(x) - subtract1_value) - subtract2_value)


@two(
    "82", (128, 8, 256, 256), (8, 64, 3, 2.0, (64, 1, 1), 4), (2.0, (16, 1, 1), 2),
    signature="scaling_factor, bias_shape, pool_kernel_size", bias=parameter("bias_shape"),
    pool="nn.MaxPool2d(pool_kernel_size)",
)  # fmt: skip
def conv2d_tanh_scaling_bias_add_max(self, x, *, scaling_factor):
    """A 2-d convolution, tanh, a factor, a bias and maximum pooling."""
    return self.pool(torch.tanh(self.conv(x)) * scaling_factor + self.bias)


@three(
    "8", (128, 8, 16, 64, 64), (8, 16, (3, 3, 3), 2.0, (2, 2, 2), (16, 1, 1, 1), 1),
    (2.0, (2, 2, 2), (16, 1, 1, 1), 1), kernel=(3, 3, 3),
    signature="divisor, pool_size, bias_shape, sum_dim", pool="nn.MaxPool3d(pool_size)",
    bias=parameter("bias_shape"), **WEAK2,
)  # fmt: skip
def conv3d_divide_max_global_avg_pool_bias_add_sum(self, x, *, divisor, sum_dim):
    """A 3-d convolution, a division, maximum pooling, channel means, a bias and their sum."""
    x = F.adaptive_avg_pool3d(self.pool(self.conv(x) / divisor), (1, 1, 1))
    return torch.sum(x + self.bias, dim=sum_dim)


NORMED = {
    "conv": "nn.Conv3d(in_channels, out_channels, kernel_size)",
    "norm": "nn.GroupNorm(num_groups, out_channels)",
}
MEAN = (((128, 3, 24, 32, 32), (3, 24, 3, 8)), ((128, 3, 16, 32, 32), (3, 16, 3, 8)))


@task("23", BASIC + ", num_groups", *MEAN, weak=ZERO, **NORMED)
def conv3d_group_norm_mean(self, x):
    """A 3-d convolution, group norm and the mean of each sample."""
    return self.norm(self.conv(x)).mean(dim=[1, 2, 3, 4])


@task("23", BASIC + ", num_groups", *MEAN, **NORMED,
      changed=form("conv3d_group_norm_mean", "repaired"))  # fmt: skip
def conv3d_group_norm_max(self, x):
    """A 3-d convolution, group norm and the largest element of each sample."""
    return self.norm(self.conv(x)).amax(dim=[1, 2, 3, 4])


DROPPED = (
    ((128, 3, 16, 64, 64), (3, 16, 3, 8, 0.0, 1.0, 0.2)),
    ((128, 3, 16, 32, 32), (3, 16, 3, 8, 0.0, 1.0, 0.2)),
)
DROP = BASIC + ", num_groups, min_value, max_value, dropout_p"


@task(
    "83", DROP, *DROPPED, weak=ZERO, **NORMED, dropout="nn.Dropout(dropout_p)",
    note="output identically 0 (min with 0, then cut to 0..1); dropout p=.2 active but invisible",
)  # fmt: skip
def conv3d_group_norm_min_clamp_dropout(self, x, *, min_value, max_value):
    """A 3-d convolution, group norm, the smaller of it and a number, cut to a range, dropout."""
    x = torch.min(self.norm(self.conv(x)), torch.tensor(min_value, device=x.device))
    return self.dropout(torch.clamp(x, min=min_value, max=max_value))


@task("83", DROP, *DROPPED, **NORMED,
      changed=form("conv3d_group_norm_min_clamp_dropout", "repaired"))  # fmt: skip
def conv3d_group_norm_max_clamp(self, x, *, min_value, max_value, dropout_p):
    """A 3-d convolution, group norm, cut to a range, times the 1 - p of dropout in inference."""
    return torch.clamp(self.norm(self.conv(x)), min=min_value, max=max_value) * (1 - dropout_p)


SWISH = "conv3d_hardswish_relu_softmax_mean"


@task(
    "27", BASIC + ", num_groups", ((1024, 3, 16, 32, 32), (3, 16, 4)), None,
    ((2, 3, 6, 9, 10), (3, 16, 4, 4)), conv=NORMED["conv"], norm=NORMED["norm"],
)  # fmt: skip
def conv3d_hardswish_relu_softmax_mean(self, x, *, num_groups=4):
    """A 3-d convolution, hard Swish, group norm and the mean of each channel."""
    return torch.mean(self.norm(F.hardswish(self.conv(x))), dim=[2, 3, 4])


@task("27", BASIC, ((128, 3, 16, 32, 32), (3, 16, 3)), conv=NORMED["conv"], changed=form(SWISH))
def conv3d_hardswish_relu_softmax_mean_of_paper(self, x):
    """A 3-d convolution, hard Swish, ReLU, softmax over channels, the mean of each channel."""
    x = torch.softmax(torch.relu(F.hardswish(self.conv(x))), dim=1)
    return torch.mean(x, dim=[2, 3, 4])


@three(
    "90", (128, 8, 16, 64, 64), (8, 64, 3, (64, 1, 1, 1)), ((16, 1, 1, 1),),
    signature="sum_tensor_shape", sum_tensor=parameter("sum_tensor_shape"),
)  # fmt: skip
def conv3d_leaky_relu_sum_clamp_gelu(self, x):
    """A 3-d convolution, leaky ReLU, a bias, cut to -1..1, GELU."""
    x = F.leaky_relu(self.conv(x), negative_slope=0.2) + self.sum_tensor
    return F.gelu(torch.clamp(x, min=-1.0, max=1.0))


@three(
    "43", (4, 32, 32, 128, 128), (32, 64, 3, 1, 1), (1, 1), signature="stride, padding",
    conv="nn.Conv3d(in_channels, out_channels, kernel_size, stride=stride, padding=padding)",
)  # fmt: skip
def conv3d_max_log_sum_exp_relu(self, x):
    """A 3-d convolution, maximum pooling, log sum exp over channels and ReLU."""
    x = F.max_pool3d(self.conv(x), kernel_size=2, stride=2)
    return torch.relu(torch.logsumexp(x, dim=1, keepdim=True))


@three("24", (128, 3, 24, 32, 32), (3, 24, 3, 2), (2,), signature="dim")
def conv3d_min_softmax(self, x, *, dim):
    """A 3-d convolution, the smallest along the depth and softmax over channels."""
    return torch.softmax(torch.min(self.conv(x), dim=dim)[0], dim=1)


@three("47", (16, 32, 32, 64, 64), (32, 64, 3), (), paper_batch=16)
def conv3d_mish_tanh(self, x):
    """A 3-d convolution, Mish and tanh."""
    return torch.tanh(F.mish(self.conv(x)))


@three(
    "79", (128, 3, 16, 32, 32), (3, 16, 3, (16, 1, 1, 1), -1.0, 1.0), ((16, 1, 1, 1), -1.0, 1.0),
    signature="multiplier_shape, clamp_min, clamp_max", multiplier=parameter("multiplier_shape"),
    norm="nn.InstanceNorm3d(out_channels)",
)  # fmt: skip
def conv3d_multiply_instance_norm_clamp_multiply_max(self, x, *, clamp_min, clamp_max):
    """A 3-d convolution, learned factors, instance norm, cut, the factors, largest channel."""
    x = self.norm(self.conv(x) * self.multiplier)
    return torch.max(torch.clamp(x, clamp_min, clamp_max) * self.multiplier, dim=1)[0]


@three(
    "7", (64, 8, 32, 64, 64), (8, 32, 3, (32, 1, 1, 1)), ((16, 1, 1, 1),), signature="bias_shape",
    bias=parameter("bias_shape"),
)  # fmt: skip
def conv3d_relu_leaky_relu_gelu_sigmoid_bias_add(self, x):
    """A 3-d convolution, ReLU, leaky ReLU without effect, GELU, sigmoid and a bias."""
    x = F.leaky_relu(torch.relu(self.conv(x)), negative_slope=0.01)
    return torch.sigmoid(F.gelu(x)) + self.bias


@three(
    "48", (128, 3, 16, 64, 64), (3, 16, 3, 2, (16, 1, 1, 1)), (2, (16, 1, 1, 1)),
    signature="scaling_factor, bias_shape", factor=parameter("bias_shape"),
    bias=parameter("bias_shape"),
)  # fmt: skip
def conv3d_scaling_tanh_multiply_sigmoid(self, x):
    """A 3-d convolution, learned factors, tanh, learned factors and sigmoid."""
    return torch.sigmoid(torch.tanh(self.conv(x) * self.factor) * self.bias)


@three(
    "6", (128, 3, 16, 32, 32), (3, 16, 3, 2), (2,), signature="pool_kernel_size",
    pool1="nn.MaxPool3d(pool_kernel_size)", pool2="nn.MaxPool3d(pool_kernel_size)",
)  # fmt: skip
def conv3d_softmax_max_pool_max_pool(self, x):
    """A 3-d convolution, softmax over channels and maximum pooling twice."""
    return self.pool2(self.pool1(torch.softmax(self.conv(x), dim=1)))
