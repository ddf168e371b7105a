"""Fused tasks that begin with a transposed convolution."""

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
    spread,
)

tasks = Category("fuse")
task = partial(fused, tasks)
BASIC = "in_channels, out_channels, kernel_size"
STRIDED = BASIC + ", stride"
PADDED = STRIDED + ", padding"
FULL = PADDED + ", output_padding"
PEAKED = {"weak": "input-independent@1e-2", "repair": spread}


def transposed(dimensions, signature, extra=""):
    """The layer with the options that the signature has."""
    known = ("stride", "padding", "output_padding")
    names = [name.strip() for name in signature.split(",")]
    options = "".join(f", {name}={name}" for name in known if name in names)
    return f"nn.ConvTranspose{dimensions}d(in_channels, out_channels, kernel_size{options}{extra})"


def plain(dimensions, signature):
    return {"conv": transposed(dimensions, signature)}


TWO, THREE = plain(2, FULL), plain(3, FULL)


def images(batch_size, channels, extent, *values):
    return (batch_size, channels, extent, extent), (channels, *values)


def volumes(batch_size, channels, depth, extent, *values):
    return (batch_size, channels, depth, extent, extent), (channels, *values)


@task(
    "93", STRIDED + ", add_value, multiply_value", images(128, 64, 64, 128, 4, 2, 0.5, 2.0),
    images(128, 32, 32, 16, 4, 2, 0.5, 2.0), weak="zeros@1e-4", repair=spread,
    **plain(2, STRIDED),
)  # fmt: skip
def conv_transpose2d_add_min_gelu_multiply(self, x, *, add_value, multiply_value):
    """A transposed 2-d convolution, plus a number, cut above at 0, GELU and a factor."""
    x = torch.min(self.conv(x) + add_value, torch.tensor(0.0, device=x.device))
    return F.gelu(x) * multiply_value


@task(
    "2", FULL + ", bias_shape, scaling_factor",
    images(128, 64, 128, 64, 3, 2, 1, 1, (64, 1, 1), 2.0),
    images(128, 3, 32, 16, 3, 2, 1, 1, (16, 1, 1), 2.0), bias=parameter("bias_shape"), **TWO,
)  # fmt: skip
def conv_transpose2d_bias_add_clamp_scaling_clamp_divide(self, x, *, scaling_factor):
    """A transposed 2-d convolution, a bias, cut to 0..1, scaled, cut again, scaled back."""
    x = torch.clamp(self.conv(x) + self.bias, min=0.0, max=1.0) * scaling_factor
    return torch.clamp(x, min=0.0, max=1.0) / scaling_factor


@task(
    "19", STRIDED + ", groups, num_groups", images(128, 64, 256, 64, 3, 1, 8, 8),
    images(128, 32, 32, 64, 4, 2, 8, 8), **plain(2, STRIDED),
    norm="nn.GroupNorm(num_groups, out_channels)",
)  # fmt: skip
def conv_transpose2d_gelu_group_norm(self, x):
    """A transposed 2-d convolution, which ignores its number of groups, GELU and group norm."""
    return self.norm(F.gelu(self.conv(x)))


POOLED = PADDED + ", maxpool_kernel_size, maxpool_stride, hardtanh_min, hardtanh_max"


@task(
    "10", POOLED, images(128, 64, 256, 64, 3, 1, 1, 2, 2, -1, 1),
    images(128, 32, 16, 64, 4, 2, 1, 2, 2, -1, 1), **plain(2, PADDED),
    pool="nn.MaxPool2d(maxpool_kernel_size, stride=maxpool_stride)", **WEAK2,
)  # fmt: skip
def conv_transpose2d_max_pool_hardtanh_mean_tanh(self, x, *, hardtanh_min, hardtanh_max):
    """A transposed 2-d convolution, maximum pooling, hardtanh, channel means and tanh."""
    x = F.hardtanh(self.pool(self.conv(x)), hardtanh_min, hardtanh_max)
    return torch.tanh(torch.mean(x, dim=(2, 3), keepdim=True))


@task(
    "36", FULL + ", bias_shape", images(16, 64, 128, 128, 3, 2, 1, 1, (1, 1, 1)),
    images(128, 3, 32, 16, 3, 2, 1, 1, (16, 1, 1)), bias=parameter("bias_shape"), **TWO,
    weak="input-independent@1e-4",
)  # fmt: skip
def conv_transpose2d_min_sum_gelu_add(self, x):
    """A transposed 2-d convolution, the smallest channel, its sum over rows, GELU and a bias."""
    x = torch.sum(torch.min(self.conv(x), dim=1, keepdim=True)[0], dim=2, keepdim=True)
    return F.gelu(x) + self.bias


@task(
    "36", FULL + ", bias_shape", images(16, 64, 128, 128, 3, 2, 1, 1, (1, 1, 1)),
    images(128, 3, 32, 16, 3, 2, 1, 1, (16, 1, 1)), bias=parameter("bias_shape"), **TWO,
    changed=form("conv_transpose2d_min_sum_gelu_add", "repaired"),
)  # fmt: skip
def conv_transpose2d_max_sum_gelu_add(self, x):
    """A transposed 2-d convolution, the largest channel, its sum over rows, GELU and a bias."""
    x = torch.sum(torch.max(self.conv(x), dim=1, keepdim=True)[0], dim=2, keepdim=True)
    return F.gelu(x) + self.bias


@task(
    "16", FULL + ", add_value, scale", images(128, 64, 128, 64, 3, 2, 1, 1, 0.5, 2),
    images(128, 32, 16, 64, 4, 2, 1, 1, 0.5, 2), **TWO,
)  # fmt: skip
def conv_transpose2d_mish_add_hardtanh_scaling(self, x, *, add_value, scale):
    """A transposed 2-d convolution, Mish, plus a number, hardtanh and a factor."""
    return F.hardtanh(F.mish(self.conv(x)) + add_value, min_val=-1, max_val=1) * scale


@task(
    "44", FULL + ", multiplier", images(16, 64, 128, 128, 3, 2, 1, 1, 0.5),
    images(128, 3, 32, 16, 3, 2, 1, 1, 0.5), **TWO, **WEAK2,
)  # fmt: skip
def conv_transpose2d_multiply_global_avg_pool_global_avg_pool_mean(self, x, *, multiplier):
    """A transposed 2-d convolution, a factor, channel means, and again without effect."""
    x = torch.mean(self.conv(x) * multiplier, dim=[2, 3], keepdim=True)
    return torch.mean(x, dim=[2, 3], keepdim=True)


@task(
    "5", BASIC + ", bias_shape, stride, padding, output_padding",
    images(32, 64, 256, 64, 4, (64, 1, 1)), images(128, 32, 16, 16, 4, (16, 1, 1)),
    ((3, 32, 9, 11), (32, 16, 4, (16, 1, 1), 2, 1, 1)), bias=parameter("bias_shape"), **TWO,
)  # fmt: skip
def conv_transpose2d_subtract_tanh(self, x, *, stride=2, padding=1, output_padding=1):
    """A transposed 2-d convolution less a bias, and tanh."""
    return torch.tanh(self.conv(x) - self.bias)


@task(
    "26", FULL + ", bias_shape",
    volumes(128, 32, 16, 16, 64, 3, 2, 1, 1, (64, 1, 1, 1, 1)), None,
    volumes(2, 8, 3, 4, 12, 3, 2, 1, 1, (12, 1, 1, 1, 1)),
    others={"y": "torch.rand(batch_size, out_channels, 2 * depth, 2 * height, 2 * width)"},
    bias=parameter("bias_shape"), **THREE,
)  # fmt: skip
def conv_transpose3d_add_hard_swish(self, x, y):
    """A transposed 3-d convolution plus a second input, times hard Swish; a bias is not used."""
    x = self.conv(x) + y
    return x * F.hardswish(x)


CLAMPED = FULL + ", pool_kernel_size, clamp_min, clamp_max"
CLAMP_HEAD = volumes(32, 32, 32, 64, 64, 3, 2, 1, 1, 2, 0.0, 1.0)
CLAMP_PAPER = volumes(16, 8, 16, 32, 16, 3, 2, 1, 1, 2, 0.0, 1.0)
CLAMP_SOFTMAX = "conv_transpose3d_avg_pool_clamp_softmax_multiply"
POOL = "nn.AvgPool3d(pool_kernel_size)"
ONES = "nn.Parameter(torch.ones(1, out_channels, 1, 1, 1))"


@task(
    "38", CLAMPED, CLAMP_HEAD, CLAMP_PAPER, weak="zeros@1e-4 input-independent@1e-4", **THREE,
    pool=POOL, scale=ONES,
)  # fmt: skip
def conv_transpose3d_avg_pool_clamp_softmax_multiply(self, x, *, clamp_min, clamp_max):
    """Average pooling, a transposed 3-d convolution, cut to a range, softmax over all positions
    of a channel, and learned factors."""
    x = torch.clamp(self.conv(self.pool(x)), clamp_min, clamp_max)
    return torch.softmax(x.flatten(2), dim=2).view_as(x) * self.scale


@task("38", CLAMPED, CLAMP_PAPER, **THREE, pool=POOL, changed=form(CLAMP_SOFTMAX))
def conv_transpose3d_avg_pool_clamp_softmax_of_paper(self, x, *, clamp_min, clamp_max):
    """A transposed 3-d convolution, average pooling, cut to a range, softmax over channels,
    doubled."""
    x = torch.clamp(self.pool(self.conv(x)), clamp_min, clamp_max)
    return torch.softmax(x, dim=1) * 2


@task(
    "38", CLAMPED, CLAMP_HEAD, CLAMP_PAPER, **THREE, pool=POOL, scale=ONES,
    changed=form(CLAMP_SOFTMAX, "repaired"),
)  # fmt: skip
def conv_transpose3d_avg_pool_clamp_softmax_of_channels(self, x, *, clamp_min, clamp_max):
    """Average pooling, a transposed 3-d convolution, cut to a range, softmax over channels and
    learned factors."""
    x = torch.clamp(self.conv(self.pool(x)), clamp_min, clamp_max)
    return torch.softmax(x, dim=1) * self.scale


@task(
    "72", PADDED + ", bias_shape", volumes(64, 3, 32, 32, 16, 3, 2, 1, (16, 1, 1, 1)),
    volumes(128, 3, 32, 32, 16, 3, 2, 1, (16, 1, 1, 1)), **plain(3, PADDED), note=TRAINED,
    norm="nn.BatchNorm3d(out_channels)", pool1="nn.AvgPool3d(2)", pool2="nn.AvgPool3d(2)",
)  # fmt: skip
def conv_transpose3d_batch_norm_avg_pool_avg_pool(self, x):
    """A transposed 3-d convolution, batch norm and average pooling twice."""
    return self.pool2(self.pool1(self.norm(self.conv(x))))


@task(
    "15", PADDED, volumes(16, 16, 16, 32, 32, 3, 2, 1), **plain(3, PADDED), note=TRAINED,
    norm="nn.BatchNorm3d(out_channels)",
)  # fmt: skip
def conv_transpose3d_batch_norm_subtract(self, x):
    """A transposed 3-d convolution, batch norm, less the mean of each sample's channels."""
    x = self.norm(self.conv(x))
    return x - torch.mean(x, dim=(2, 3, 4), keepdim=True)


@task(
    "100", PADDED + ", min_value, divisor", volumes(16, 32, 16, 32, 16, 3, 2, 1, -1.0, 2.0),
    **plain(3, PADDED),
)  # fmt: skip
def conv_transpose3d_clamp_min_divide(self, x, *, min_value, divisor):
    """A transposed 3-d convolution, cut below and divided."""
    return torch.clamp(self.conv(x), min=min_value) / divisor


@task(
    "34", PADDED + ", bias, eps, scaling_factor",
    volumes(32, 32, 16, 32, 64, 4, 2, 1, True, 1e-05, 1.0),
    volumes(128, 32, 16, 32, 64, 4, 2, 1, True, 1e-05, 1.0),
    volumes(2, 8, 3, 6, 12, 4, 2, 1, True, 1e-05, 1.0),
    conv=transposed(3, PADDED, ", bias=bias"), norm="nn.LayerNorm(out_channels, eps=eps)",
)  # fmt: skip
def conv_transpose3d_layer_norm_gelu_scaling(self, x, *, scaling_factor):
    """A transposed 3-d convolution, layer norm over the last dimension, GELU and a factor."""
    return F.gelu(self.norm(self.conv(x))) * scaling_factor


@task(
    "74", FULL + ", multiplier_shape", volumes(16, 16, 16, 32, 32, 3, 2, 1, 1, (32, 1, 1, 1)),
    multiplier=parameter("multiplier_shape"), **THREE,
)  # fmt: skip
def conv_transpose3d_leaky_relu_multiply_leaky_relu_max(self, x):
    """A transposed 3-d convolution, leaky ReLU around learned factors, maximum pooling."""
    x = F.leaky_relu(self.conv(x), negative_slope=0.2) * self.multiplier
    return F.max_pool3d(F.leaky_relu(x, negative_slope=0.2), kernel_size=2)


BIASED = {"bias": parameter("bias_shape"), **plain(3, PADDED)}
SWISHED = "conv_transpose3d_log_sum_exp_hard_swish_subtract_clamp_max"


@task("58", PADDED + ", bias_shape", volumes(128, 3, 16, 32, 16, 3, 2, 1, (1, 1, 1, 1)), **BIASED)
def conv_transpose3d_log_sum_exp_hard_swish_subtract_clamp_max(self, x):
    """A transposed 3-d convolution, log sum exp over channels, x sigmoid(x + 3) / 6, less a
    bias, cut to -1..1."""
    x = torch.logsumexp(self.conv(x), dim=1, keepdim=True)
    return torch.clamp(x * torch.sigmoid(x + 3) / 6 - self.bias, min=-1, max=1)


@task(
    "58", PADDED + ", bias_shape", volumes(128, 3, 16, 32, 16, 3, 2, 1, (16, 1, 1, 1)), **BIASED,
    changed=form(SWISHED),
)  # fmt: skip
def conv_transpose3d_log_sum_exp_hard_swish_of_paper(self, x):
    """The same with a bias per channel, and the largest channel at the end."""
    x = torch.logsumexp(self.conv(x), dim=1, keepdim=True)
    x = torch.clamp(x * torch.sigmoid(x + 3) / 6 - self.bias, min=-1, max=1)
    return torch.max(x, dim=1, keepdim=True)[0]


@task(
    "78", PADDED, volumes(16, 32, 32, 32, 64, 5, 2, 2), volumes(16, 8, 16, 32, 16, 3, 2, 1),
    **plain(3, PADDED), pool1="nn.MaxPool3d(2)", pool2="nn.MaxPool3d(3)",
)  # fmt: skip
def conv_transpose3d_max_max_sum(self, x):
    """A transposed 3-d convolution, maximum pooling twice and the sum of channels."""
    return torch.sum(self.pool2(self.pool1(self.conv(x))), dim=1, keepdim=True)


@task(
    "89", FULL + ", pool_kernel_size, pool_stride, pool_padding",
    volumes(128, 3, 16, 32, 16, 3, 2, 1, 1, 2, 2, 0), **THREE, **PEAKED,
    pool="nn.MaxPool3d(pool_kernel_size, stride=pool_stride, padding=pool_padding)",
    subtract=parameter("out_channels"),
)  # fmt: skip
def conv_transpose3d_max_pool_softmax_subtract_swish_max(self, x):
    """A transposed 3-d convolution, maximum pooling, softmax over channels, less a bias, Swish
    and the largest channel."""
    x = torch.softmax(self.pool(self.conv(x)), dim=1) - self.subtract.view(1, -1, 1, 1, 1)
    return torch.max(torch.sigmoid(x) * x, dim=1)[0]


@task(
    "96", PADDED + ", scale, maxpool_kernel_size", volumes(128, 3, 16, 32, 16, 3, 2, 1, 0.5, 2),
    **plain(3, PADDED), pool="nn.MaxPool3d(maxpool_kernel_size)", **WEAK2,
)  # fmt: skip
def conv_transpose3d_multiply_max_global_avg_pool_clamp(self, x, *, scale):
    """A transposed 3-d convolution, a factor, maximum pooling, channel means, cut to 0..1."""
    x = F.adaptive_avg_pool3d(self.pool(self.conv(x) * scale), (1, 1, 1))
    return torch.clamp(x, min=0, max=1)


@task(
    "77", BASIC + ", scale_factor", volumes(16, 64, 16, 32, 128, 5, 2.0),
    volumes(16, 64, 16, 32, 32, 3, 2.0), volumes(2, 8, 4, 6, 12, 3, 2.0), note=TRAINED,
    **plain(3, BASIC), norm="nn.BatchNorm3d(out_channels)",
)  # fmt: skip
def conv_transpose3d_scale_batch_norm_global_avg_pool(self, x, *, scale_factor):
    """A transposed 3-d convolution, a factor, batch norm and channel means."""
    return F.adaptive_avg_pool3d(self.norm(self.conv(x) * scale_factor), (1, 1, 1))


@task(
    "50", PADDED + ", scale1, scale2, bias_shape",
    volumes(128, 3, 16, 32, 16, 3, 2, 1, 0.5, 1.0, (16, 1, 1, 1)), **plain(3, PADDED),
    factor1="nn.Parameter(torch.tensor(scale1))", pool="nn.AvgPool3d(2)",
    bias=parameter("bias_shape"), factor2="nn.Parameter(torch.tensor(scale2))",
)  # fmt: skip
def conv_transpose3d_scaling_avg_pool_bias_add_scaling(self, x):
    """A transposed 3-d convolution, a learned factor, average pooling, a bias and a factor."""
    return (self.pool(self.conv(x) * self.factor1) + self.bias) * self.factor2


@task(
    "49", FULL, volumes(16, 32, 16, 32, 64, 3, 2, 1, 1), None, volumes(2, 8, 4, 6, 12, 3, 2, 1, 1),
    **THREE, **PEAKED,
)  # fmt: skip
def conv_transpose3d_softmax_sigmoid(self, x):
    """A transposed 3-d convolution, softmax over channels and sigmoid."""
    return torch.sigmoid(torch.softmax(self.conv(x), dim=1))


NORMED = (64, (3, 3, 3), (2, 2, 2), (1, 1, 1), (1, 1, 1), 1.0, (64,), (2, 2, 2))


@task(
    "3", FULL + ", sum_weight, norm_shape, pool_kernel_size",
    volumes(32, 32, 16, 32, *NORMED), volumes(128, 32, 16, 32, *NORMED),
    volumes(2, 8, 3, 6, 12, *NORMED[1:6], (12,), (2, 2, 2)), **THREE,
    weight="nn.Parameter(torch.tensor(sum_weight))", norm="nn.LayerNorm(norm_shape)",
    pool="nn.AvgPool3d(pool_kernel_size)",
)  # fmt: skip
def conv_transpose3d_sum_layer_norm_avg_pool_gelu(self, x):
    """A transposed 3-d convolution, a learned number, layer norm over the last dimension,
    average pooling and GELU."""
    return F.gelu(self.pool(self.norm(self.conv(x) + self.weight)))


@task(
    "20", FULL + ", bias_shape", volumes(16, 32, 16, 32, 64, 3, 2, 1, 1, (64, 1, 1, 1)), None,
    volumes(2, 8, 4, 6, 12, 3, 2, 1, 1, (12, 1, 1, 1)), bias=parameter("bias_shape"), **THREE,
)  # fmt: skip
def conv_transpose3d_sum_residual_add_multiply_residual_add(self, x):
    """c of a transposed 3-d convolution: ((c + bias) + c) c + c."""
    x = self.conv(x)
    return ((x + self.bias) + x) * x + x


@task(
    "60", PADDED + ", groups, eps", volumes(128, 3, 16, 32, 16, 3, 2, 1, 4, 1e-05),
    **plain(3, PADDED), norm="nn.GroupNorm(groups, out_channels, eps=eps)",
)  # fmt: skip
def conv_transpose3d_swish_group_norm_hard_swish(self, x):
    """A transposed 3-d convolution, Swish, group norm and hard Swish."""
    x = self.conv(x)
    return F.hardswish(self.norm(torch.sigmoid(x) * x))


@task(
    "11", PADDED + ", groups, num_groups", images(512, 64, 32, 128, 5, 1, 1, 8, 8),
    images(128, 32, 32, 64, 4, 2, 1, 8, 4), **plain(2, PADDED), note=TRAINED,
    norm="nn.BatchNorm2d(out_channels)", pool="nn.MaxPool2d(2)",
    group_norm="nn.GroupNorm(num_groups, out_channels)",
)  # fmt: skip
def convtranspose2d_batchnorm_tanh_maxpool_groupnorm(self, x):
    """A transposed 2-d convolution, batch norm, tanh, maximum pooling and group norm."""
    return self.group_norm(self.pool(torch.tanh(self.norm(self.conv(x)))))


@task(
    "42", BASIC + ", bias_shape", images(16, 64, 512, 128, 3, (128, 1, 1)),
    images(128, 3, 32, 16, 3, (16, 1, 1)), bias=parameter("bias_shape"), **plain(2, BASIC),
    **WEAK4,
)  # fmt: skip
def convtranspose2d_globalavgpool_biasadd_logsumexp_sum_multiply(self, x):
    """A transposed 2-d convolution, channel means, a bias, log sum exp over channels, times 10."""
    x = torch.mean(self.conv(x), dim=(2, 3), keepdim=True) + self.bias
    return torch.sum(torch.logsumexp(x, dim=1, keepdim=True), dim=(2, 3)) * 10.0


@task(
    "91", FULL + ", bias_shape, scaling_factor",
    images(128, 64, 64, 128, 4, 2, 1, 1, (128, 1, 1), 2.0),
    images(128, 32, 16, 64, 4, 2, 1, 1, (64, 1, 1), 2.0), bias=parameter("bias_shape"), **TWO,
    **PEAKED,
)  # fmt: skip
def convtranspose2d_softmax_biasadd_scaling_sigmoid(self, x, *, scaling_factor):
    """A transposed 2-d convolution, softmax over channels, a bias, a factor and sigmoid."""
    return torch.sigmoid((torch.softmax(self.conv(x), dim=1) + self.bias) * scaling_factor)


SCALED = "convtranspose3d_mean_add_softmax_tanh_scaling"


@task(
    "13", PADDED + ", scaling_factor",
    ((16, 16, 32, 128, 128), (16, 64, 3, 1, 1, 2.0)), None,
    volumes(2, 4, 6, 9, 12, 3, 1, 1, 2.0), **plain(3, PADDED),
    bias=parameter("1, out_channels, 1, 1, 1"), **PEAKED,
)  # fmt: skip
def convtranspose3d_mean_add_softmax_tanh_scaling(self, x, *, scaling_factor):
    """A transposed 3-d convolution, the mean along the depth, a bias, softmax over channels,
    tanh and a factor."""
    x = torch.mean(self.conv(x), dim=2, keepdim=True) + self.bias
    return torch.tanh(torch.softmax(x, dim=1)) * scaling_factor


@task(
    "13", PADDED + ", bias_shape, scaling_factor",
    volumes(16, 8, 16, 32, 16, 3, 2, 1, (1, 1, 1, 1, 1), 2.0), **plain(3, PADDED),
    bias=parameter("bias_shape"), changed=form(SCALED),
)  # fmt: skip
def convtranspose3d_mean_add_softmax_of_paper(self, x, *, scaling_factor):
    """A transposed 3-d convolution, the mean of channels, a bias, softmax over that one channel,
    tanh and a factor."""
    x = torch.mean(self.conv(x), dim=1, keepdim=True) + self.bias
    return torch.tanh(torch.softmax(x, dim=1)) * scaling_factor


@task(
    "61", BASIC + ", groups, bias", volumes(16, 64, 8, 16, 128, 3, 8, False), None,
    volumes(2, 8, 4, 6, 16, 3, 8, False), conv=transposed(3, BASIC, ", bias=bias"),
    norm="nn.GroupNorm(groups, out_channels)",
)  # fmt: skip
def convtranspose3d_relu_groupnorm(self, x):
    """A transposed 3-d convolution without bias, ReLU and group norm."""
    return self.norm(torch.relu(self.conv(x)))
