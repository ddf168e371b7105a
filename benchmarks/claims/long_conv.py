"""Long convolutions' claims at small scale: regularised kernels generalise, the layer trains.

1. System identification. Teacher kernels of 512 taps (3 damped cosines of up to 0.35 radians per
   step, unit norm) in 8 channels; white inputs, noisy targets (0.5), 2 or 8 training sequences, 16
   clean ones to test with. Adam learns the taps under each regularisation. Score: test error over
   target variance, mean of seeds. What must show with 2 sequences, over the error without
   regularisation: smoothing <= 0.6, smoothing and squash <= 0.5, straight-through squash <= 0.8;
   with 8: all <= 1.25.
2. scikit-learn's digits as sequences of 256 pixels, 600 to train on: a causal model of two layers
   reaches a test accuracy of 0.95, without squash and with the published (hard) one, on average.

Exit code 1 if a bar does not hold. 4 minutes on one core; `--quick`: one seed and fewer steps, and
no bar is judged.

python benchmarks/claims/long_conv.py [--quick] [--seeds 2] [--only identification|digits]
"""

from __future__ import annotations

import argparse
import platform
import statistics
import sys
import warnings

import torch
import torch.nn.functional as F
from torch import Tensor

from kernelmill.models import LongConvModel
from kernelmill.nn import LongConvKernel
from kernelmill.ops import long_conv, prox_squash_
from kernelmill.training import param_groups

LENGTH, CHANNELS, NOISE = 512, 8, 0.5
SMOOTH = {"use_ma_smoothing": True, "ma_window_len": 7}
# name: (arguments of the kernel, lam of the proximal step, bar with 2 sequences)
KERNELS = {
    "no regularisation": ({"lam": 0.0}, 0.0, None),
    "squash 0.03, straight-through": ({"lam": 0.03}, 0.0, None),
    "squash 0.06, straight-through": ({"lam": 0.06}, 0.0, 0.8),
    "smooth 7": ({"lam": 0.0} | SMOOTH, 0.0, 0.6),
    "smooth 7, squash 0.01": ({"lam": 0.01} | SMOOTH, 0.0, 0.5),
    "squash 0.1, proximal": ({"lam": 0.0}, 0.1, None),
    "squash 0.003, hard (published)": ({"lam": 0.003, "squash_grad": "hard"}, 0.0, None),
    "squash 0.01, hard": ({"lam": 0.01, "squash_grad": "hard", "allow_dead": True}, 0.0, None),
}
NO_HARM = 1.25


def teacher(generator: torch.Generator, highest: float) -> Tensor:
    """(CHANNELS, LENGTH): sums of 3 damped cosines, unit norm."""

    def uniform(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(CHANNELS, 3, 1, generator=generator)

    time_ = torch.arange(LENGTH, dtype=torch.float32)
    decay, frequency = uniform(-4.5, -2.5).exp(), uniform(0.0, highest)
    amplitude = torch.randn(CHANNELS, 3, 1, generator=generator)
    k = (amplitude * (-decay * time_).exp() * torch.cos(frequency * time_)).sum(1)
    return k / k.norm(dim=1, keepdim=True)


def identify(
    options: dict, proximal: float, sequences: int, seed: int, steps: int, highest: float
) -> tuple[float, float]:
    """Test error over target variance, and the share of taps that are not zero."""
    generator = torch.Generator().manual_seed(seed)
    truth = teacher(generator, highest)

    def draw(count: int) -> tuple[Tensor, Tensor]:
        u = torch.randn(count, CHANNELS, LENGTH, generator=generator)
        return u, long_conv(u, truth)

    u, y = draw(sequences)
    y = y + NOISE * torch.randn(y.shape, generator=generator)
    test_u, test_y = draw(16)
    torch.manual_seed(seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the table says how many taps live
        kernel = LongConvKernel(CHANNELS, LENGTH, **options)
    optimizer = torch.optim.Adam(kernel.parameters(), lr=2e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        optimizer.zero_grad()
        (long_conv(u, kernel()[0]) - y).square().mean().backward()
        optimizer.step()
        if proximal:
            prox_squash_(kernel.kernel, proximal * schedule.get_last_lr()[0])
        schedule.step()
    with torch.no_grad():
        error = (long_conv(test_u, kernel()[0]) - test_y).square().mean() / test_y.var()
        live = (kernel() != 0).double().mean()
    return error.item(), live.item()


def identification(seeds: int, steps: int, highest: float) -> list[tuple[str, float, float]]:
    """Prints the table; returns (claim, found, bar)."""
    print(f"\nSystem identification, {steps} steps, {seeds} seed(s): test error over variance")
    print(f"{'':32}{'n=2':>8}{'/ none':>8}{'bar':>6}{'n=8':>9}{'/ none':>8}{'bar':>6}{'live':>7}")
    plain, bars = {}, []
    for name, (options, proximal, bar) in KERNELS.items():
        row = f"{name:32}"
        for n in (2, 8):
            runs = [identify(options, proximal, n, seed, steps, highest) for seed in range(seeds)]
            error = statistics.mean(run[0] for run in runs)
            ratio = error / plain.setdefault(n, error)
            judged = bar if n == 2 else (NO_HARM if bar is not None else None)
            row += f"{error:9.3f}{ratio:8.2f}" + (f"{judged:6.2f}" if judged else 6 * " ")
            if judged:
                bars.append((f"{name}, n={n}", ratio, judged))
            live = statistics.mean(run[1] for run in runs)
        print(f"{row[:32]}{row[33:]}{live:7.0%}", flush=True)
    return bars


def images(seed: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """600 digits to train on, the others to test with, as (N, 256, 1), standardised."""
    from sklearn.datasets import load_digits

    found = load_digits()
    x = torch.tensor(found.images, dtype=torch.float32)[:, None]
    x = F.interpolate(x, (16, 16), mode="bilinear", align_corners=False).flatten(1)[..., None]
    y = torch.tensor(found.target)
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))
    train, test = order[:600], order[600:]
    mean, scale = x[train].mean(), x[train].std()
    x = (x - mean) / scale
    return x[train], y[train], x[test], y[test]


def classify(options: dict, seed: int, epochs: int) -> tuple[float, float]:
    """Test accuracy, and the share of taps that are zero; ``seed``: of the split, too."""
    x, y, test_x, test_y = images(seed)
    torch.manual_seed(seed)
    model = LongConvModel(
        1, 10, d_model=32, n_layers=2, dropout=0.0, l_max=256, learning_rate=1e-3, **options
    )
    optimizer = torch.optim.AdamW(param_groups(model, lr=0.01, weight_decay=0.05))
    batch = 50
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * len(x) // batch)
    for _ in range(epochs):
        for index in torch.randperm(len(x)).split(batch):
            optimizer.zero_grad()
            F.cross_entropy(model(x[index]), y[index]).backward()
            optimizer.step()
            schedule.step()
    model.eval()
    with torch.no_grad():
        accuracy = (model(test_x).argmax(1) == test_y).float().mean().item()
        taps = torch.cat([layer.kernel().flatten() for layer in model.conv_layers])
    return accuracy, (taps == 0).double().mean().item()


def digits(seeds: int, epochs: int) -> list[tuple[str, float, float]]:
    """Prints the table; returns (claim, found, bar), negative: more is better."""
    print(f"\nDigits, 600 training images, {epochs} epochs, {seeds} seed(s): test accuracy")
    print(f"{'':32}{'mean':>7}{'bar':>6}{'zero taps':>11}   each")
    found = []
    for name, options, bar in (
        ("no squash", {"lam": 0.0}, 0.95),
        ("squash 0.001, hard (published)", {"lam": 0.001, "squash_grad": "hard"}, 0.95),
        ("squash 0.003, straight-through", {"lam": 0.003}, None),
    ):
        runs = [classify(options, seed, epochs) for seed in range(seeds)]
        accuracy, zero = (statistics.mean(run[i] for run in runs) for i in (0, 1))
        shown = f"{bar:6.2f}" if bar else 6 * " "
        each = " ".join(f"{run[0]:.3f}" for run in runs)
        print(f"{name:32}{accuracy:7.3f}{shown}{zero:11.0%}   {each}", flush=True)
        if bar:
            found.append((f"digits, {name}", -accuracy, -bar))
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--only", choices=["identification", "digits"])
    parser.add_argument(
        "--frequency", type=float, default=0.35, help="highest one of the targets, radians per step"
    )
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(f"torch {torch.__version__}, {platform.machine()}, {options.threads} thread(s)")
    bars = []
    if options.only != "digits":
        seeds, steps = (1, 100) if options.quick else (options.seeds, 600)
        bars += identification(seeds, steps, options.frequency)
    if options.only != "identification":
        bars += digits(1, 2) if options.quick else digits(options.seeds, 80)
    if options.quick:
        return 0
    print()
    for name, value, bar in bars:
        word = "holds" if value <= bar else "does NOT hold"
        print(f"{name}: {abs(value):.3f} against {abs(bar):.2f}: {word}")
    return 0 if all(value <= bar for _, value, bar in bars) else 1


if __name__ == "__main__":
    sys.exit(main())
