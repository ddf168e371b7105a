"""Generalised-mean pooling against the expression that everybody writes, eager and compiled.

python benchmarks/ops/gem.py [--threads 1 2] [--rounds 21] [--dtype float32]
"""

import torch
from harness import main


def direct(x, p, groups=1):
    """clamp, pow, mean, pow: (B, N, C) or (B, C, H, W) -> (B, C)."""
    channels, tokens = (x.shape[2], True) if x.dim() == 3 else (x.shape[1], False)
    per_channel = p.repeat_interleave(channels // p.numel())
    if not tokens:
        per_channel = per_channel.view(-1, 1, 1)
    mean = x.clamp(min=1e-6).pow(per_channel).mean(1 if tokens else (2, 3))
    return mean.pow(1 / per_channel.flatten()).to(x.dtype)


if __name__ == "__main__":
    main("gem", {"eager": direct, "compiled": torch.compile(direct, dynamic=False)})
