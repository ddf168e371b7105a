"""Fused tasks that begin with a matrix product."""

from functools import partial

import torch
import torch.nn.functional as F

from kernelmill.tasks.suites.entry import Category
from kernelmill.tasks.suites.multikernelbench.fuse.table import (
    TRAINED,
    form,
    fused,
    parameter,
    shifted,
    spread,
)

tasks = Category("fuse")
task = partial(fused, tasks)
IO = "in_features, out_features"
LINEAR = "nn.Linear(in_features, out_features)"
NORM = "nn.GroupNorm(num_groups, out_features)"
BATCH_NORM = "nn.BatchNorm1d(out_features)"


WIDE = ((1024, 8192), (8192, 8192))


def wide(*values):
    return (1024, 8192), (8192, 8192, *values)


def narrow(rows, inner, outer, *values):
    return (rows, inner), (inner, outer, *values)


@task(
    "28", IO, WIDE, narrow(128, 64, 128),
    others={"y": "torch.rand(batch_size, out_features)"},
    linear=LINEAR,
)  # fmt: skip
def bmm_instance_norm_sum_residual_add_multiply(self, x, y):
    """A linear layer, instance norm over the features, then plus and times a second input."""
    x = F.instance_norm(self.linear(x).unsqueeze(1)).squeeze(1)
    return (x + y) * y


@task(
    "76", IO + ", bias_shape", wide((8192,)), narrow(128, 1024, 512, (512,)),
    linear="nn.Linear(in_features, out_features, bias=False)", bias=parameter("bias_shape"),
)  # fmt: skip
def gemm_add_relu(self, x):
    """A matrix product, a bias and ReLU."""
    return torch.relu(self.linear(x) + self.bias)


@task(
    "41", IO, narrow(16384, 4096, 4096), None, narrow(16, 64, 128), linear=LINEAR,
    norm=BATCH_NORM, note=TRAINED,
)  # fmt: skip
def gemm_batch_norm_gelu_group_norm_mean_relu(self, x):
    """A linear layer, batch norm, GELU and ReLU."""
    return torch.relu(F.gelu(self.norm(self.linear(x))))


@task(
    "41", IO + ", num_groups", narrow(128, 512, 1024, 8), linear=LINEAR, norm=BATCH_NORM,
    groups=NORM, changed=form("gemm_batch_norm_gelu_group_norm_mean_relu"),
)  # fmt: skip
def gemm_batch_norm_gelu_of_paper(self, x):
    """A linear layer, batch norm, GELU, group norm, the mean of the features and ReLU."""
    x = self.groups(F.gelu(self.norm(self.linear(x))))
    return torch.relu(torch.mean(x, dim=1, keepdim=True))


SCALED = IO + ", bn_eps, bn_momentum, scale_shape"
SCALED_NORM = "nn.BatchNorm1d(out_features, eps=bn_eps, momentum=bn_momentum)"


@task(
    "84", SCALED, wide(1e-05, 0.1, (1,)), narrow(128, 1024, 512, 1e-05, 0.1, (1,)),
    weak="zeros@1e-2 input-independent@1e-2", note=TRAINED,
    linear=LINEAR, norm=SCALED_NORM, scale="nn.Parameter(torch.ones(scale_shape))",
)  # fmt: skip
def gemm_batch_norm_scaling_softmax(self, x):
    """A linear layer, batch norm, a learned factor and softmax."""
    return torch.softmax(self.scale * self.norm(self.linear(x)), dim=1)


@task(
    "84", SCALED, wide(1e-05, 0.1, (1,)), narrow(128, 1024, 512, 1e-05, 0.1, (1,)),
    linear=LINEAR, norm=SCALED_NORM, scale="nn.Parameter(8 * torch.ones(scale_shape))",
    changed=form("gemm_batch_norm_scaling_softmax", "repaired"),
)  # fmt: skip
def gemm_batch_norm_large_scaling_softmax(self, x):
    """A linear layer, batch norm, a learned factor that begins large, and softmax."""
    return torch.softmax(self.scale * self.norm(self.linear(x)), dim=1)


@task(
    "94", IO + ", bias_shape, num_groups", wide((8192,), 256), narrow(128, 512, 1024, (1024,), 32),
    linear=LINEAR, bias=parameter("bias_shape"), norm=NORM,
)  # fmt: skip
def gemm_bias_add_hardtanh_mish_group_norm(self, x):
    """A linear layer, a bias, hardtanh, Mish and group norm."""
    return self.norm(F.mish(F.hardtanh(self.linear(x) + self.bias)))


@task(
    "14", "input_size, hidden_size, scaling_factor", wide(1.5), narrow(128, 10, 20, 1.5),
    weight=parameter("hidden_size, input_size"),
)  # fmt: skip
def gemm_divide_sum_scaling(self, x, *, scaling_factor):
    """A matrix product, divided by 2, summed over the features and scaled."""
    x = torch.matmul(x, self.weight.T) / 2
    return torch.sum(x, dim=1, keepdim=True) * scaling_factor


LIMITS = ", hardtanh_min, hardtanh_max"


@task(
    "30", IO + ", num_groups" + LIMITS, wide(16, -2.0, 2.0), narrow(128, 1024, 512, 8, -2.0, 2.0),
    linear=LINEAR, norm=NORM,
)  # fmt: skip
def gemm_group_norm_hardtanh(self, x, *, hardtanh_min, hardtanh_max):
    """A linear layer, group norm and hardtanh."""
    return F.hardtanh(self.norm(self.linear(x)), hardtanh_min, hardtanh_max)


@task(
    "75", IO + ", num_groups, bias_shape", wide(512, (1, 8192, 1, 1)),
    narrow(128, 512, 256, 8, (1, 256, 1, 1)),
    linear=LINEAR, norm=NORM, bias=parameter("bias_shape"),
)  # fmt: skip
def gemm_group_norm_min_bias_add(self, x):
    """A linear layer, group norm, the smallest feature, and a bias along a new dimension."""
    return torch.min(self.norm(self.linear(x)), dim=1, keepdim=True)[0] + self.bias


@task(
    "88", IO + ", num_groups, multiply_shape", wide(256, (8192,)),
    narrow(128, 512, 1024, 16, (1024,)),
    linear=LINEAR, norm=NORM, factor=parameter("multiply_shape"),
)  # fmt: skip
def gemm_group_norm_swish_multiply_swish(self, x):
    """A linear layer, group norm, Swish, learned factors and Swish."""
    return F.silu(F.silu(self.norm(self.linear(x))) * self.factor)


@task(
    "64", IO, WIDE, narrow(128, 1024, 512), linear=LINEAR, weak="input-independent@1e-2",
    repair=spread,
)  # fmt: skip
def gemm_log_sum_exp_leaky_relu_leaky_relu_gelu_gelu(self, x):
    """A linear layer, log sum exp over the features, leaky ReLU twice and GELU twice."""
    x = torch.logsumexp(self.linear(x), dim=1, keepdim=True)
    return F.gelu(F.gelu(F.leaky_relu(F.leaky_relu(x, 0.01), 0.01)))


ZERO = "output identically 0: the largest feature less its own mean over a single column"


@task(
    "80", IO + ", max_dim", wide(1), narrow(128, 512, 1024, 1), linear=LINEAR,
    weak="zeros@1e-4 input-independent@1e-4", note=ZERO,
)  # fmt: skip
def gemm_max_subtract_gelu(self, x, *, max_dim):
    """A linear layer, the largest feature, less its mean over the features left, and GELU."""
    x = torch.max(self.linear(x), dim=max_dim, keepdim=True)[0]
    return F.gelu(x - x.mean(dim=1, keepdim=True))


@task(
    "80", IO + ", max_dim", wide(1), narrow(128, 512, 1024, 1), linear=LINEAR,
    changed=form("gemm_max_subtract_gelu", "repaired"),
)  # fmt: skip
def gemm_max_subtract_batch_mean_gelu(self, x, *, max_dim):
    """A linear layer, the largest feature, less its mean over the batch, and GELU."""
    x = torch.max(self.linear(x), dim=max_dim, keepdim=True)[0]
    return F.gelu(x - x.mean(dim=0, keepdim=True))


@task(
    "12", IO + ", multiplier, negative_slope", wide(2.0, 0.1), narrow(128, 1024, 512, 2.0, 0.1),
    linear=LINEAR,
)  # fmt: skip
def gemm_multiply_leakyrelu(self, x, *, multiplier, negative_slope):
    """A linear layer, a factor and leaky ReLU."""
    return F.leaky_relu(self.linear(x) * multiplier, negative_slope)


@task("63", IO + ", divisor", wide(2.0), narrow(128, 1024, 512, 2.0), linear=LINEAR)
def gemm_relu_divide(self, x, *, divisor):
    """A linear layer, ReLU and a division."""
    return torch.relu(self.linear(x)) / divisor


SCALE_NORM = {
    "linear": LINEAR, "scale": parameter("scale_shape"), "norm": BATCH_NORM, "note": TRAINED,
}  # fmt: skip


@task(
    "39", IO + ", scale_shape", narrow(16384, 4096, 4096, (4096,)),
    narrow(128, 1024, 512, (512,)), **SCALE_NORM,
)  # fmt: skip
def gemm_scale_batch_norm(self, x):
    """A linear layer, learned factors and batch norm."""
    return self.norm(self.linear(x) * self.scale)


@task("33", IO + ", scale_shape", narrow(128, 1024, 512, (512,)), **SCALE_NORM)
def gemm_scale_batchnorm(self, x):
    """A linear layer, learned factors and batch norm, on a small shape."""
    return self.norm(self.linear(x) * self.scale)


@task(
    "53", IO + ", scaling_factor" + LIMITS, narrow(2048, 8192, 8192, 0.5, -2, 2),
    narrow(128, 1024, 512, 0.5, -2, 2), linear=LINEAR,
)  # fmt: skip
def gemm_scaling_hard_tanh_gelu(self, x, *, scaling_factor, hardtanh_min, hardtanh_max):
    """A linear layer, a factor, hardtanh and GELU."""
    return F.gelu(F.hardtanh(self.linear(x) * scaling_factor, hardtanh_min, hardtanh_max))


@task("70", IO + ", scaling_factor", wide(2.0), narrow(128, 1024, 512, 2.0), linear=LINEAR)
def gemm_sigmoid_scaling_residual_add(self, x, *, scaling_factor):
    """A linear layer, plus its scaled sigmoid."""
    x = self.linear(x)
    return torch.sigmoid(x) * scaling_factor + x


MIDDLE = "input_size, hidden_size, output_size"


@task(
    "45", MIDDLE, narrow(16384, 2048, 4096, 1024), None, narrow(16, 40, 80, 30),
    weak="input-independent@1e-2", repair=spread,
    linear1="nn.Linear(input_size, hidden_size)", linear2="nn.Linear(hidden_size, output_size)",
)  # fmt: skip
def gemm_sigmoid_sum_log_sum_exp(self, x):
    """A linear layer, sigmoid, a second linear layer and log sum exp over its features."""
    return torch.logsumexp(self.linear2(torch.sigmoid(self.linear1(x))), dim=1)


@task(
    "45", MIDDLE, narrow(128, 10, 20, 5), linear1="nn.Linear(input_size, hidden_size)",
    changed=form("gemm_sigmoid_sum_log_sum_exp"),
)  # fmt: skip
def gemm_sigmoid_sum_of_paper(self, x):
    """A linear layer, sigmoid, the sum of the features and log sum exp over the batch."""
    return torch.logsumexp(torch.sum(torch.sigmoid(self.linear1(x)), dim=1), dim=0)


RESIDUAL = {"linear": LINEAR, "subtract": parameter("out_features")}


@task("51", IO, narrow(2048, 8192, 8192), narrow(128, 1024, 512), weak="identity@1e-2", **RESIDUAL)
def gemm_subtract_global_avg_pool_log_sum_exp_gelu_residual_add(self, x):
    """A linear layer less a bias, the mean of its features, log sum exp of that, GELU, plus x."""
    mean = torch.mean(self.linear(x) - self.subtract, dim=1, keepdim=True)
    return F.gelu(torch.logsumexp(mean, dim=1, keepdim=True)) + x


@task(
    "51", IO, narrow(2048, 8192, 8192), narrow(128, 1024, 512), **RESIDUAL,
    changed=form("gemm_subtract_global_avg_pool_log_sum_exp_gelu_residual_add", "repaired"),
)  # fmt: skip
def gemm_subtract_log_sum_exp_gelu_residual_add(self, x):
    """A linear layer less a bias, log sum exp over its features, GELU, plus x."""
    total = torch.logsumexp(self.linear(x) - self.subtract, dim=1, keepdim=True)
    return F.gelu(total) + x


@task("81", IO, WIDE, narrow(128, 1024, 512), linear=LINEAR)
def gemm_swish_divide_clamp_tanh_clamp(self, x):
    """A linear layer, Swish, halved, cut to -1..1, tanh, cut again."""
    x = torch.clamp(F.silu(self.linear(x)) / 2.0, min=-1.0, max=1.0)
    return torch.clamp(torch.tanh(x), min=-1.0, max=1.0)


@task(
    "95", IO + ", add_value_shape", wide((8192,)), narrow(128, 1024, 512, (512,)), linear=LINEAR,
    add_value=parameter("add_value_shape"),
)  # fmt: skip
def matmul_add_swish_tanh_gelu_hardtanh(self, x):
    """A linear layer, a bias, Swish, tanh, GELU and hardtanh."""
    return F.hardtanh(F.gelu(torch.tanh(F.silu(self.linear(x) + self.add_value))))


@task(
    "98", IO + ", pool_kernel_size, scale_factor", wide(16, 2.0), narrow(128, 512, 256, 4, 2.0),
    linear=LINEAR, pool="nn.AvgPool1d(pool_kernel_size)",
)  # fmt: skip
def matmul_avg_pool_gelu_scale_max(self, x, *, scale_factor):
    """A linear layer, means of neighbouring features, GELU, a factor, the largest feature."""
    x = self.pool(self.linear(x).unsqueeze(1)).squeeze(1)
    return torch.max(F.gelu(x) * scale_factor, dim=1)[0]


@task(
    "97", IO + ", bn_eps, bn_momentum, bias_shape, divide_value",
    wide(1e-05, 0.1, (1,), 1.0), narrow(128, 1024, 512, 1e-05, 0.1, (1,), 1.0), note=TRAINED,
    linear=LINEAR, norm=SCALED_NORM, bias=parameter("bias_shape"),
)  # fmt: skip
def matmul_batch_norm_bias_add_divide_swish(self, x, *, divide_value):
    """A linear layer, batch norm, a bias, a division and Swish."""
    return F.silu((self.norm(self.linear(x)) + self.bias) / divide_value)


@task("86", IO + ", divisor", wide(10.0), narrow(128, 512, 1024, 10.0), linear=LINEAR)
def matmul_divide_gelu(self, x, *, divisor):
    """A linear layer, a division and GELU."""
    return F.gelu(self.linear(x) / divisor)


DROPPED = "matmul_dropout_mean_softmax"


@task(
    "66", IO + ", dropout_p", narrow(128, 16384, 16384, 0.2), None, narrow(16, 100, 50, 0.2),
    weak="zeros@1e-2 input-independent@1e-2", linear=LINEAR, dropout="nn.Dropout(dropout_p)",
    note="dropout p=.2 active: mask depends on RNG stream",
)  # fmt: skip
def matmul_dropout_mean_softmax(self, x):
    """A linear layer, dropout and softmax."""
    return torch.softmax(self.dropout(self.linear(x)), dim=1)


@task(
    "66", IO + ", dropout_p", narrow(128, 100, 50, 0.2), linear=LINEAR,
    dropout="nn.Dropout(dropout_p)", changed=form(DROPPED),
)  # fmt: skip
def matmul_dropout_mean_softmax_of_paper(self, x):
    """A linear layer, dropout, the mean of the features and softmax of that alone."""
    return torch.softmax(torch.mean(self.dropout(self.linear(x)), dim=1, keepdim=True), dim=1)


@task(
    "66", IO + ", dropout_p", narrow(128, 16384, 16384, 0.2), None, narrow(16, 100, 50, 0.2),
    linear=LINEAR, changed=form(DROPPED, "repaired"),
)  # fmt: skip
def matmul_softmax(self, x, *, dropout_p):
    """A linear layer, the factor 1 - p that dropout means in inference, and a sharp softmax."""
    return torch.softmax(8 * (1 - dropout_p) * self.linear(x), dim=1)


@task(
    "99", IO, WIDE, narrow(128, 100, 10), linear=LINEAR, repair=spread,
    weak="zeros@1e-2 input-independent@1e-2",
)  # fmt: skip
def matmul_gelu_softmax(self, x):
    """A linear layer, GELU and softmax."""
    return torch.softmax(F.gelu(self.linear(x)), dim=1)


@task("62", IO + ", num_groups", wide(512), narrow(128, 512, 256, 8), linear=LINEAR, norm=NORM)
def matmul_group_norm_leaky_relu_sum(self, x):
    """A linear layer, group norm, leaky ReLU, plus itself."""
    x = F.leaky_relu(self.norm(self.linear(x)), 0.01)
    return x + x


@task(
    "55", IO + ", kernel_size, scale_factor", narrow(128, 32768, 32768, 2, 0.5),
    narrow(128, 10, 5, 2, 0.5), linear=LINEAR, pool="nn.MaxPool1d(kernel_size)",
)  # fmt: skip
def matmul_max_pool_sum_scale(self, x, *, scale_factor):
    """A linear layer, maxima of neighbouring features, their sum and a factor."""
    x = self.pool(self.linear(x).unsqueeze(1)).squeeze(1)
    return torch.sum(x, dim=1) * scale_factor


@task(
    "68", IO + ", constant", narrow(128, 16384, 16384, 2.0), narrow(128, 10, 5, 2.0),
    linear=LINEAR, limit="nn.Parameter(torch.tensor(constant))",
)  # fmt: skip
def matmul_min_subtract(self, x):
    """A linear layer, cut above at a learned limit, less that limit."""
    return torch.min(self.linear(x), self.limit) - self.limit


@task("29", IO, WIDE, narrow(128, 10, 20), linear=LINEAR)
def matmul_mish_mish(self, x):
    """A linear layer and Mish twice."""
    return F.mish(F.mish(self.linear(x)))


@task(
    "22", "input_size, hidden_size, scale_factor, clamp_min, clamp_max", wide(2.0, -10.0, 10.0),
    narrow(128, 512, 1024, 2.0, -10.0, 10.0), weak="input-independent@1e-2", repair=spread,
    linear="nn.Linear(input_size, hidden_size)",
)  # fmt: skip
def matmul_scale_residual_add_clamp_log_sum_exp_mish(
    self, x, *, scale_factor, clamp_min, clamp_max
):
    """A linear layer, a factor, doubled, cut, log sum exp of the features, times its Mish."""
    x = self.linear(x) * scale_factor
    x = torch.clamp(x + x, clamp_min, clamp_max)
    x = torch.logsumexp(x, dim=1, keepdim=True)
    return x * F.mish(x)


@task(
    "40", IO + ", scaling_factor", narrow(16384, 4096, 4096, 0.5), narrow(128, 64, 128, 0.5),
    linear=LINEAR,
)  # fmt: skip
def matmul_scaling_residual_add(self, x, *, scaling_factor):
    """A linear layer, plus itself scaled."""
    x = self.linear(x)
    return x * scaling_factor + x


@task(
    "56", "input_size, hidden_size", narrow(128, 32768, 32768), narrow(128, 10, 20),
    weak="input-independent@1e-2", repair=shifted, linear="nn.Linear(input_size, hidden_size)",
)  # fmt: skip
def matmul_sigmoid_sum(self, x):
    """A linear layer, sigmoid and the sum of the features."""
    return torch.sum(torch.sigmoid(self.linear(x)), dim=1, keepdim=True)


@task(
    "9", IO + ", subtract_value, multiply_value", wide(2.0, 1.5), narrow(128, 10, 5, 2.0, 1.5),
    weak="zeros@1e-4 input-independent@1e-4", repair=spread, linear=LINEAR,
)  # fmt: skip
def matmul_subtract_multiply_relu(self, x, *, subtract_value, multiply_value):
    """A linear layer less a number, a factor and ReLU."""
    return torch.relu((self.linear(x) - subtract_value) * multiply_value)


@task(
    "18", IO, WIDE, narrow(128, 10, 5), linear=LINEAR,
    note="all steps after the sum act on a single column and are no-ops",
)  # fmt: skip
def matmul_sum_max_avg_pool_log_sum_exp_log_sum_exp(self, x):
    """A linear layer, the sum of its features; maximum, mean and log sum exp of that alone."""
    x = torch.sum(self.linear(x), dim=1, keepdim=True)
    x = torch.mean(torch.max(x, dim=1, keepdim=True)[0], dim=1, keepdim=True)
    return torch.logsumexp(torch.logsumexp(x, dim=1, keepdim=True), dim=1, keepdim=True)


@task(
    "59", IO + ", scaling_factor", narrow(128, 32768, 32768, 2.0), narrow(128, 1024, 512, 2.0),
    linear=LINEAR,
)  # fmt: skip
def matmul_swish_scaling(self, x, *, scaling_factor):
    """A linear layer, Swish and a factor."""
    x = self.linear(x)
    return x * torch.sigmoid(x) * scaling_factor


@task(
    "37", IO + ", num_groups, bias_shape", narrow(32768, 1024, 4096, 64, (4096,)),
    narrow(128, 512, 1024, 32, (1024,)),
    linear=LINEAR, bias=parameter("bias_shape"), norm=NORM,
)  # fmt: skip
def matmul_swish_sum_group_norm(self, x):
    """A linear layer, Swish, a bias and group norm."""
    return self.norm(F.silu(self.linear(x)) + self.bias)
