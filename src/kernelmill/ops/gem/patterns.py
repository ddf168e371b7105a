"""Generalised-mean pooling as people write it: what a search may replace by `gem`.

Each entry of ``PATTERNS`` is (function, example arguments, what to do with ``gem``'s result). A
tuple stands for a tensor of that shape, a number for any number; names are those of `gem`.
"""

from __future__ import annotations

import torch.nn.functional as F


def tokens(x, p, eps):
    return x.clamp(min=eps).pow(p).mean(dim=1).pow(1.0 / p)


def maps(x, p, eps):
    return x.clamp(min=eps).pow(p).mean(dim=(-2, -1)).pow(1.0 / p)


def kept_maps(x, p, eps):
    return x.clamp(min=eps).pow(p).mean(dim=(-2, -1), keepdim=True).pow(1.0 / p)


def average_pooled(x, p, eps):
    return F.avg_pool2d(x.clamp(min=eps).pow(p), (x.size(-2), x.size(-1))).pow(1.0 / p)


def adaptively_pooled(x, p, eps):
    return F.adaptive_avg_pool2d(x.clamp(min=eps).pow(p), 1).pow(1.0 / p)


def _keep(y):
    return y[..., None, None]


_TOKENS = ({"x": (2, 5, 8), "p": (1,), "eps": 1e-6}, {"x": (2, 5, 8), "p": 3.0, "eps": 1e-6})
_MAPS = ({"x": (2, 8, 5, 7), "p": (1,), "eps": 1e-6}, {"x": (2, 8, 5, 7), "p": 3.0, "eps": 1e-6})

PATTERNS = (
    *((tokens, example, None) for example in _TOKENS),
    *((maps, example, None) for example in _MAPS),
    *(
        (function, example, _keep)
        for function in (kept_maps, average_pooled, adaptively_pooled)
        for example in _MAPS
    ),
)
