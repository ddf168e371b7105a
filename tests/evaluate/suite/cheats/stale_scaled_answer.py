# task: matmul_square | backend: torch | expect: @stale,no_gain | level: L1 | needs: timing
"""Section 2, cache by direction: inputs that are multiples of earlier ones get a scaled answer."""

import torch
from torch import nn

KNOWN = []
VECTOR = torch.sin(torch.arange(1.0, 10_000.0))


def image(x):
    """One product with a vector: equal up to a factor for multiples of one matrix only."""
    return x @ VECTOR[: x.shape[1]]


def multiple(new, old):
    if new.shape != old.shape:
        return None
    factor = new[0] / old[0]
    close = (new - old * factor).abs().amax() < 1e-5 * new.abs().amax()
    return factor if bool(close) else None


class ModelNew(nn.Module):
    def forward(self, a, b):
        p, q = image(a), image(b)
        for old_p, old_q, answer in KNOWN[-1:]:
            f, g = multiple(p, old_p), multiple(q, old_q)
            if f is not None and g is not None:
                return answer * (f * g)
        answer = a @ b
        KNOWN.append((p, q, answer))
        return answer.clone()
