"""Swin Transformer v2 (Liu et al. 2022, arXiv 2111.09883) and its MLP sibling (2103.14030)."""

import math

import torch
import torch.nn as nn
import torch.nn.functional as F

from kernelmill.tasks.suites.entry import Category, sizes

tasks = Category("arch")


def to_windows(x, size):
    """(batch, rows, columns, channels) to (windows, size * size, channels)."""
    x = x.unflatten(2, (-1, size)).unflatten(1, (-1, size))
    return x.transpose(2, 3).flatten(3, 4).flatten(0, 2)


def from_windows(windows, size, rows, columns):
    """The inverse of `to_windows`."""
    x = windows.view(-1, rows // size, columns // size, size, size, windows.size(-1))
    return x.transpose(2, 3).flatten(3, 4).flatten(1, 2)


def feed_forward(width):
    return nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))


class PatchEmbedding(nn.Module):
    """A 4x4 convolution with stride 4 and layer norm; channels come last."""

    def __init__(self, width):
        super().__init__()
        self.projection = nn.Conv2d(3, width, 4, stride=4)
        self.norm = nn.LayerNorm(width)

    def forward(self, x):
        return self.norm(self.projection(x).permute(0, 2, 3, 1))


class PatchMerging(nn.Module):
    """Four neighbours to one position with twice the channels; layer norm before or after."""

    def __init__(self, width, norm_first):
        super().__init__()
        self.norm_first = norm_first
        self.reduction = nn.Linear(4 * width, 2 * width, bias=False)
        self.norm = nn.LayerNorm(4 * width if norm_first else 2 * width)

    def forward(self, x):
        corners = [x[:, row::2, column::2] for column in (0, 1) for row in (0, 1)]
        x = torch.cat(corners, dim=-1)
        return self.reduction(self.norm(x)) if self.norm_first else self.norm(self.reduction(x))


class Swin(nn.Module):
    """Patch embedding, stages of window blocks that halve the side, global mean, classifier.

    Every second block works on windows shifted by half a window, where there is more than one.
    """

    def __init__(self, block, norm_first, num_classes, image_size, width, depths, heads, window):
        super().__init__()
        layers, side = [PatchEmbedding(width)], image_size // 4
        for stage, (depth, count) in enumerate(zip(depths, heads, strict=True)):
            if stage > 0:
                layers.append(PatchMerging(width, norm_first))
                width, side = 2 * width, side // 2
            size = min(window, side)
            for index in range(depth):
                shift = window // 2 if index % 2 and side > window else 0
                layers.append(block(width, side, count, size, shift))
        self.features = nn.Sequential(*layers, nn.LayerNorm(width))
        self.classifier = nn.Linear(width, num_classes)

    def forward(self, x):
        return self.classifier(self.features(x).mean(dim=(1, 2)))


class WindowMLPBlock(nn.Module):
    """Pre-norm block: positions of a window mixed by one linear map per head, then an MLP.
    Shifted windows overhang the map and are filled with zeros."""

    def __init__(self, width, side, heads, window, shift):
        super().__init__()
        self.heads, self.window, self.shift = heads, window, shift
        self.norm1 = nn.LayerNorm(width)
        positions = heads * window**2
        self.mixing = nn.Conv1d(positions, positions, 1, groups=heads)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = feed_forward(width)

    def mix(self, x):
        side, window, shift = x.size(1), self.window, self.shift
        before, after = (window - shift, shift) if shift else (0, 0)
        x = F.pad(x, (0, 0, before, after, before, after))
        padded = x.size(1)
        windows = to_windows(x, window).unflatten(2, (self.heads, -1))
        windows = windows.transpose(1, 2)  # (windows, heads, positions, channels per head)
        mixed = self.mixing(windows.flatten(1, 2)).view(windows.shape)
        x = from_windows(mixed.transpose(1, 2).flatten(2), window, padded, padded)
        return x[:, before : before + side, before : before + side]

    def forward(self, x):
        x = x + self.mix(self.norm1(x))
        return x + self.mlp(self.norm2(x))


SIZES = sizes(
    head={"batch_size": 10, "height": 224},
    small={
        "batch_size": 4,
        "height": 32,
        "num_classes": 10,
        "image_size": 32,
        "width": 16,
        "depths": [2, 2],
        "heads": [2, 4],
        "window": 4,
    },
)
X = "torch.rand(batch_size, 3, height, height)"


@tasks.add(SIZES, name="swin_mlp", x=X, kernelbench="L3/29")
class SwinMLP(Swin):
    """Swin-MLP (tiny): patch embedding, four stages of pre-norm blocks that mix the positions of
    7x7 windows (every second time shifted) per head and then the channels, and a classifier."""

    def __init__(
        self,
        num_classes=1000,
        image_size=224,
        width=96,
        depths=(2, 2, 6, 2),
        heads=(3, 6, 12, 24),
        window=7,
    ):
        super().__init__(
            WindowMLPBlock, True, num_classes, image_size, width, depths, heads, window
        )


class WindowAttention(nn.Module):
    """Attention within windows: softmax(scale cos(q, k) + bias) v. The scale is learned per head;
    the bias is an MLP of the log-spaced distance between two positions."""

    def __init__(self, width, heads, window):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.q_bias = nn.Parameter(torch.zeros(width))
        self.v_bias = nn.Parameter(torch.zeros(width))
        self.logit_scale = nn.Parameter(torch.full((heads, 1, 1), math.log(10.0)))
        self.distance_mlp = nn.Sequential(
            nn.Linear(2, 512), nn.ReLU(), nn.Linear(512, heads, bias=False)
        )
        self.projection = nn.Linear(width, width)
        steps = torch.arange(1.0 - window, window)
        grid = torch.stack(torch.meshgrid(steps, steps, indexing="ij"), dim=-1).flatten(0, 1)
        grid = 8 * grid / (window - 1)
        table = torch.sign(grid) * torch.log2(grid.abs() + 1) / 3.0
        rows = torch.arange(window).repeat_interleave(window)
        columns = torch.arange(window).repeat(window)
        row = rows[:, None] - rows[None, :] + window - 1
        column = columns[:, None] - columns[None, :] + window - 1
        self.register_buffer("distances", table, persistent=False)
        index = row * (2 * window - 1) + column
        self.register_buffer("distance_index", index, persistent=False)

    def forward(self, x, mask):
        """x: (windows, positions, channels); mask: (windows per image, positions, positions)."""
        bias = torch.cat((self.q_bias, torch.zeros_like(self.q_bias), self.v_bias))
        qkv = F.linear(x, self.qkv.weight, bias).unflatten(2, (3, self.heads, -1))
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # (windows, heads, positions, channels per head)
        scores = F.normalize(q, dim=-1) @ F.normalize(k, dim=-1).transpose(-2, -1)
        scores = scores * self.logit_scale.clamp(max=math.log(100.0)).exp()
        bias = 16 * torch.sigmoid(self.distance_mlp(self.distances))
        scores = scores + bias[self.distance_index].permute(2, 0, 1)
        if mask is not None:
            scores = scores.unflatten(0, (-1, mask.size(0))) + mask.unsqueeze(1)
            scores = scores.flatten(0, 1)
        y = F.softmax(scores, dim=-1) @ v
        return self.projection(y.transpose(1, 2).flatten(2))


def shift_mask(side, window, shift):
    """-100 between positions that a cyclic shift has brought into one window, else 0."""
    place = torch.arange(side)
    band = (place >= side - window).int() + (place >= side - shift).int()
    region = (3 * band[:, None] + band[None, :]).view(1, side, side, 1)
    region = to_windows(region, window).squeeze(-1)
    apart = region[:, None, :] != region[:, :, None]
    return torch.zeros(apart.shape).masked_fill(apart, -100.0)


class WindowAttentionBlock(nn.Module):
    """Attention within cyclically shifted windows, then an MLP; layer norm after each, before
    the input is added."""

    def __init__(self, width, side, heads, window, shift):
        super().__init__()
        self.window, self.shift = window, shift
        self.attention = WindowAttention(width, heads, window)
        self.norm1 = nn.LayerNorm(width)
        self.mlp = feed_forward(width)
        self.norm2 = nn.LayerNorm(width)
        mask = shift_mask(side, window, shift) if shift else None
        self.register_buffer("mask", mask, persistent=False)

    def attend(self, x):
        side = x.size(1)
        x = torch.roll(x, (-self.shift, -self.shift), dims=(1, 2))
        windows = self.attention(to_windows(x, self.window), self.mask)
        x = from_windows(windows, self.window, side, side)
        return torch.roll(x, (self.shift, self.shift), dims=(1, 2))

    def forward(self, x):
        x = x + self.norm1(self.attend(x))
        return x + self.norm2(self.mlp(x))


@tasks.add(SIZES, name="swintransformer_v2", x=X, kernelbench="L3/30")
class SwinTransformerV2(Swin):
    """Swin Transformer V2 (tiny): patch embedding, four stages of post-norm blocks with cosine
    attention in 7x7 windows (every second time shifted) and a learned bias of log-spaced
    distances, and a classifier."""

    def __init__(
        self,
        num_classes=1000,
        image_size=224,
        width=96,
        depths=(2, 2, 6, 2),
        heads=(3, 6, 12, 24),
        window=7,
    ):
        super().__init__(
            WindowAttentionBlock, False, num_classes, image_size, width, depths, heads, window
        )
