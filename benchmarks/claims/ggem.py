"""GGeM's claim at small scale: pooling of a small ViT on scikit-learn's digits.

A ViT of 2 blocks (2x2 patches, width 48, 6 heads) is trained from scratch with each pooling over
its patch tokens; the class token is always there, and one row pools nothing but it. Reported:
test accuracy and retrieval R@1 (nearest other test image by cosine of the pooled, normalised
features), mean over seeds.

What must show: GGeM beats the class token and the average by at least 3 points of accuracy with
200 training images and 1 point with 1,000 (exit code 1 otherwise). What does not show at this
size: GGeM over GeM (inside the noise); and the maximum is best on this data.

python benchmarks/claims/ggem.py [--seeds 5] [--sizes 200 1000] [--steps 400] [--threads 2]
"""

from __future__ import annotations

import argparse
import statistics
import sys

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional as F

from kernelmill.nn import GroupGeMPool

WIDTH, HEADS, TOKENS = 48, 6, 16


class ClassToken(nn.Module):
    def forward(self, tokens: Tensor) -> Tensor:
        return tokens[:, 0]


class Patches(nn.Module):
    """Pool the patch tokens only."""

    def __init__(self, pool):
        super().__init__()
        self.pool = pool

    def forward(self, tokens: Tensor) -> Tensor:
        return self.pool(tokens[:, 1:])


class Average(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.mean(1)


class Maximum(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.amax(1)


POOLINGS = {
    "class token": ClassToken,
    "average": lambda: Patches(Average()),
    "maximum": lambda: Patches(Maximum()),
    "GeM (G=1)": lambda: Patches(GroupGeMPool(WIDTH, 1)),
    "GGeM (G=6)": lambda: Patches(GroupGeMPool(WIDTH, HEADS)),
    "GeM per channel": lambda: Patches(GroupGeMPool(WIDTH, WIDTH)),
}


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.qkv, self.out = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.mlp = nn.Sequential(
            nn.Linear(WIDTH, 2 * WIDTH), nn.GELU(), nn.Linear(2 * WIDTH, WIDTH)
        )

    def forward(self, x: Tensor) -> Tensor:
        b, n, _ = x.shape
        q, k, v = self.qkv(self.norm1(x)).view(b, n, 3, HEADS, -1).permute(2, 0, 3, 1, 4)
        x = x + self.out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
        return x + self.mlp(self.norm2(x))


class TinyViT(nn.Module):
    def __init__(self, pool: nn.Module):
        super().__init__()
        self.patch = nn.Conv2d(1, WIDTH, 2, stride=2)
        self.token = nn.Parameter(torch.zeros(1, 1, WIDTH))
        self.position = nn.Parameter(0.02 * torch.randn(1, TOKENS + 1, WIDTH))
        self.blocks = nn.Sequential(Block(), Block())
        self.pool, self.norm, self.head = pool, nn.LayerNorm(WIDTH), nn.Linear(WIDTH, 10)

    def features(self, x: Tensor) -> Tensor:
        patches = self.patch(x).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.token.expand(len(x), -1, -1), patches], 1) + self.position
        return self.norm(self.pool(self.blocks(tokens)))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x))


def data() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """1,000 images to train on and 797 to test with, shuffled once."""
    digits = load_digits()
    x = torch.tensor(digits.images, dtype=torch.float32)[:, None] / 8 - 1
    y = torch.tensor(digits.target)
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    x, y = x[order], y[order]
    return x[:1000], y[:1000], x[1000:], y[1000:]


def train(pooling: str, size: int, seed: int, steps: int) -> tuple[float, float, Tensor | None]:
    """Accuracy, R@1 and the exponents."""
    x, y, test_x, test_y = data()
    torch.manual_seed(seed)
    picked = torch.randperm(len(x))[:size]
    x, y = x[picked], y[picked]
    model = TinyViT(POOLINGS[pooling]())
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps)
    for _ in range(steps):
        batch = torch.randint(0, size, (64,))
        optimizer.zero_grad()
        F.cross_entropy(model(x[batch]), y[batch]).backward()
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        features = model.features(test_x)
        accuracy = (model.head(features).argmax(1) == test_y).float().mean().item()
        near = F.normalize(features, dim=1)
        nearest = (near @ near.T).fill_diagonal_(-2).argmax(1)
        recall = (test_y[nearest] == test_y).float().mean().item()
    pool = getattr(model.pool, "pool", None)
    return accuracy, recall, pool.p.detach() if isinstance(pool, GroupGeMPool) else None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--sizes", type=int, nargs="+", default=[200, 1000])
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    held = True
    for size in options.sizes:
        means = {}
        print(f"\n{size} training images, {options.seeds} seeds")
        print(f"{'pooling':18}{'accuracy':>10}{'+-':>7}{'R@1':>8}   exponents")
        for name in POOLINGS:
            runs = [train(name, size, seed, options.steps) for seed in range(options.seeds)]
            accuracy = [run[0] for run in runs]
            means[name] = statistics.mean(accuracy)
            error = statistics.stdev(accuracy) / len(runs) ** 0.5 if len(runs) > 1 else 0.0
            recall = statistics.mean(run[1] for run in runs)
            p = runs[0][2]
            spread = "" if p is None else f"{p.min():.2f}..{p.max():.2f}"
            print(f"{name:18}{means[name]:10.3f}{error:7.3f}{recall:8.3f}   {spread}", flush=True)
        margin = 0.03 if size <= 500 else 0.01
        gain = means["GGeM (G=6)"] - max(means["class token"], means["average"])
        held = held and gain >= margin
        print(
            f"GGeM over the better of class token and average: {gain:+.3f}, claimed {margin:+.2f}"
        )
        print(f"GGeM over GeM: {means['GGeM (G=6)'] - means['GeM (G=1)']:+.3f} (no claim here)")
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
