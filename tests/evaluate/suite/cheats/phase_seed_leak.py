# task: chain | backend: torch | level: L2 | needs: timing
# | expect: no_gain,wrong_values,timing_wrong_values
"""Section 3, seed probe: if the constructor gets the judge's own seed, all inputs follow."""

import random

import torch
from torch import nn

ANSWERS = {}


def work(x, w):
    for _ in range(12):
        x = torch.tanh(x @ w * 0.125)
    return x


def foresee(seed):
    rng = random.Random(seed)
    seeds = [rng.randrange(1 << 31) for _ in range(1024)]
    state = torch.get_rng_state()
    for number in range(300, 304):
        torch.manual_seed(seeds[number])
        x, w = torch.randn(64, 128), torch.randn(128, 128)
        ANSWERS[x[0, 0].item(), w[-1, -1].item()] = work(x, w)
    torch.set_rng_state(state)


class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()
        foresee(torch.initial_seed())

    def forward(self, x, w):
        known = ANSWERS.get((x[0, 0].item(), w[-1, -1].item()))
        if known is not None and x.shape == known.shape:
            return known.clone()
        return work(x, w)
