"""Small modules for the generator's tests, several expressions per module to save compilations."""

from __future__ import annotations

HEAD = "import torch\nimport torch.nn as nn\nimport torch.nn.functional as F\n"
ROWS = "torch.randn(33, 70)"
IMAGE = "torch.randn(3, 6, 9, 11)"


def text(forward: str, inputs: str, init: str = "pass") -> str:
    """Source of a task; ``forward`` may use x, y and self, and returns ``{forward}``."""
    return f"""{HEAD}
class Model(nn.Module):
    def __init__(self):
        super().__init__()
        {init}

    def forward(self, x, y=None):
        return {forward}


def get_inputs():
    return [{inputs}]
"""


def several(expressions: str, inputs: str) -> str:
    lines = [line.strip() for line in expressions.strip().splitlines()]
    return text("(" + ", ".join(lines) + ",)", inputs)


def layer(module: str, inputs: str = IMAGE) -> str:
    return text("self.m(x)", inputs, f"self.m = {module}")


PAIR = f"{ROWS}, {ROWS}"
MODELS = {
    "activations": several(
        """F.silu(x)
        F.mish(x)
        F.softplus(x)
        F.selu(x)
        F.elu(x, 0.7)
        F.celu(x, 1.3)
        F.hardswish(x)
        F.hardsigmoid(x)
        F.hardtanh(x)
        F.leaky_relu(x, 0.2)
        F.relu(x)
        torch.tanh(x)
        torch.sigmoid(x)
        F.softsign(x)
        F.logsigmoid(x)
        F.gelu(x.clamp(-30, 30))
        F.gelu(x.clamp(-30, 30), approximate="tanh")""",
        ROWS,
    ),
    "elementwise": several(
        """x.exp() + x.expm1()
        x.abs().log() + x.abs().log1p()
        x.abs().clamp(1e-6).pow(3.3)
        (x * 2).pow(2.5)
        x.erf() * x.abs().sqrt()
        x.sin() + x.cos()
        x.clamp(-0.5, 0.6)
        torch.where(x > 0, y, x * 2)
        torch.maximum(x, y) - torch.minimum(x, y)
        x + y[:1] * x[:, :1]
        (x > y) & (x > 0)
        torch.isnan(x)
        x.masked_fill(y > 0, 7.0)
        x * torch.arange(70)
        (x.round() + x.floor() + x.ceil()).sign()""",
        PAIR,
    ),
    "reductions": several(
        """x.sum(1, keepdim=True)
        x.mean(1)
        x.mean(0)
        x.mean()
        x.max(1)[0]
        x.max(0)
        x.min(1)
        x.amin()
        x.argmax(1)
        x.argmin(0)
        x.argmax()
        (x * 0.5 + 1).prod(1)
        (x > 0).sum(1)
        (x > 2).any(1)
        (x > -4).all(0)""",
        ROWS,
    ),
    "spread": several(
        "x.std(1)\nx.var(0)\nx.var()\nx.var(1, correction=0, keepdim=True)\n"
        "torch.linalg.vector_norm(x, 3, dim=0)",
        ROWS,
    ),
    "softmax": several("F.softmax(x, 1)\nF.log_softmax(x, 1)\ntorch.logsumexp(x, 1)", ROWS),
    "softmax_outer": several("F.softmax(x, 0)\ntorch.logsumexp(x, 0)", ROWS),
    "norms": several(
        "x / x.norm(dim=1, keepdim=True)\nx / x.abs().sum(1, keepdim=True)\nF.normalize(x, dim=1)\n"
        "x * torch.rsqrt((x * x).mean(-1, keepdim=True) + 1e-6)\nx / torch.norm(x)",
        ROWS,
    ),
    "scans": several(
        "x.cumsum(1)\nx.cumsum(0)\nx.cumprod(1)\nx.flip(1).cumsum(1).flip(1)\n"
        "(x * (y > 0)).cumsum(1)\nx.logcumsumexp(0)",
        PAIR,
    ),
    "losses": several(
        """F.mse_loss(x, y)
        F.smooth_l1_loss(x, y)
        torch.mean(torch.clamp(1 - x * y.sign(), min=0))
        F.cosine_similarity(x, y, dim=1)
        F.l1_loss(x, y)
        F.binary_cross_entropy_with_logits(x, y.sigmoid())
        F.triplet_margin_loss(x, y, x + 1)""",
        PAIR,
    ),
    "shapes": several(
        """x[:, None, :20] - y[None, :, :20]
        F.glu(x, 1)
        (x.t() * 2).softmax(0)
        torch.cat([x, y * 2], 1).relu()
        [c * 2 for c in x.chunk(2, 1)]
        {"a": (x + 1, [x * 2]), "b": x.sum()}
        x.flip(0) * 2 + y
        (x * 2)[:, 3:50:2].softmax(1)
        (x - x.mean(1, keepdim=True))[:, 1:] * y[:, :-1]
        x.view(3, 11, 70).cumsum(1) * 2""",
        PAIR,
    ),
    "pooling": several(
        """F.max_pool2d(x, 3, 2, 1)
        F.max_pool2d(x, 3, 1, 1, 2)
        F.max_pool2d(x, 2, 2, ceil_mode=True)
        F.avg_pool2d(x, 3, 2, 1)
        F.avg_pool2d(x, 3, 2, 1, count_include_pad=False)
        F.avg_pool2d(x, 3, 2, 1, ceil_mode=True)
        F.avg_pool2d(x, 2, divisor_override=3)
        F.max_pool3d(x, 2)
        F.avg_pool3d(x, 3, 2, 1)
        F.max_pool1d(x[0], 3, 2, 1)
        F.avg_pool1d(x[0], 3, 2, 1)
        F.adaptive_avg_pool2d(x, 1)
        F.adaptive_max_pool2d(x, 1)
        F.adaptive_avg_pool2d(x[..., :9], 3)""",
        IMAGE,
    ),
    "fused_pooling": several(
        "F.max_pool2d(F.relu(x) * 2, 2)\ntorch.tanh(F.avg_pool2d(x, 2))\n"
        "F.max_pool2d(F.instance_norm(x), 2)\nx.clamp(min=1e-6).pow(3).mean((-1, -2)).pow(1 / 3)",
        IMAGE,
    ),
    "channels": several(
        "F.softmax(x, 1)\nx / x.norm(dim=1, keepdim=True)\ntorch.logsumexp(x, 1, keepdim=True)\n"
        "torch.min(x, dim=1, keepdim=True)[0].tanh()\nx.cumsum(1)\nx.cumsum(2)\nx.mean((0, 2, 3))\n"
        "F.layer_norm(x.permute(0, 2, 3, 1), (6,)).permute(0, 3, 1, 2)",
        IMAGE,
    ),
    "layer_norm": layer("nn.LayerNorm((9, 11))"),
    "group_norm": layer("nn.Sequential(nn.GroupNorm(2, 6), nn.SiLU())"),
    "instance_norm": layer("nn.InstanceNorm2d(6, affine=True)"),
    "batch_norm": layer("nn.Sequential(nn.BatchNorm2d(6), nn.ReLU(), nn.MaxPool2d(2))"),
    "batch_norm_eval": layer("nn.BatchNorm2d(6).eval()"),
    "convolution": layer("nn.Sequential(nn.Conv2d(6, 8, 3), nn.GroupNorm(2, 8), nn.Tanh())"),
    "transposed": layer("nn.Sequential(nn.ConvTranspose2d(6, 4, 3), nn.Softmax(1), nn.Sigmoid())"),
    "depthwise": text(
        "[m(x).relu() for m in self.m]",
        IMAGE,
        "self.m = nn.ModuleList(["
        "nn.Conv2d(6, 6, (1, 5), padding=(0, 2), groups=6),"
        "nn.Conv2d(6, 6, 3, 2, 1, groups=6, bias=False),"
        "nn.Conv2d(6, 6, 3, padding=2, dilation=2, groups=6),"
        "nn.Conv2d(6, 6, 9, padding=4, groups=6)])",
    ),
    "channels_last": text(
        "(F.max_pool2d(self.m(x), 3, 2, 1), F.avg_pool2d(self.m(x), 2, padding=1))",
        IMAGE,
        "self.m = nn.Conv2d(6, 16, 3).to(memory_format=torch.channels_last)",
    ),
    "prelu": layer("nn.PReLU()"),
    "linear": text(
        "(torch.logsumexp(self.l(x), 1, keepdim=True), (self.l(x) * 0.5).clamp(-1, 1) + self.l(x))",
        ROWS,
        "self.l = nn.Linear(70, 40)",
    ),
    "large_products": text(
        "(F.silu(self.l(x).tanh()), (x @ self.w).relu() + 1, F.softmax(self.l(x), -1))",
        "torch.randn(120, 300)",
        "self.l = nn.Linear(300, 400); self.w = nn.Parameter(torch.randn(300, 200))",
    ),
    "overwritten": text(
        "F.layer_norm(self.l(x), (40,)).relu()", ROWS, "self.l = nn.Linear(70, 40)"
    ),
    "chain": layer(
        "nn.Sequential(nn.Conv2d(6, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(),"
        "nn.Conv2d(8, 8, 1), nn.GroupNorm(2, 8), nn.SiLU(), nn.Conv2d(8, 4, 3),"
        "nn.MaxPool2d(2), nn.InstanceNorm2d(4), nn.Tanh())"
    ),
    "single_element": several(
        "x.argmax(1)\nx.max(1)[0]\nx.std(1, correction=0)", "torch.randn(9, 1)"
    ),
    "read_elsewhere": several(
        "(x.cumsum(2).cumsum(0) * y).flip(1) * x.cumsum(2)\n(x.softmax(2).flip(1) - x) * y",
        "torch.randn(4, 5, 32), torch.randn(4, 5, 32)",
    ),
    "cancelling": several(
        "x.exp() * y - x.exp() * y\n"
        'F.kl_div(torch.log(x.softmax(1)), x.softmax(1), reduction="batchmean")',
        PAIR,
    ),
    "attention": text(
        "F.softmax((x @ x.transpose(-1, -2) * 0.3).masked_fill(torch.tril(torch.ones(9, 9)) == 0,"
        ' float("-inf")), -1) @ x',
        IMAGE,
    ),
    "cross_entropy": text("F.cross_entropy(x, y)", f"{ROWS}, torch.randint(0, 70, (33,))"),
    "cross_entropy_pixels": text(
        "F.cross_entropy(x, y, label_smoothing=0.1)", f"{IMAGE}, torch.randint(0, 6, (3, 9, 11))"
    ),
    "long_rows": text("(x.mean(1), F.softmax(x, 1), x.cumsum(1))", "torch.randn(3, 50003)"),
    "whole": text("(x.sum(), (x * x).mean(), x.mean(0))", "torch.randn(300, 1001)"),
    "scalar_argument": text("x * y + 1", "torch.randn(5, 6), 3.5"),
}
