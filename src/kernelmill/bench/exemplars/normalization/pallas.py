"""rms_norm: a program per image; all channels of a position are in its block."""

from functools import partial

import jax
import jax.numpy as jnp
import torch.nn as nn
from jax.experimental import pallas as pl

from kernelmill.backends.pallas import interpret, to_jax, to_torch


def rms_norm(x_ref, y_ref, *, eps):
    x = x_ref[...]
    y_ref[...] = x * jax.lax.rsqrt(jnp.mean(x * x, axis=1, keepdims=True) + eps)


@partial(jax.jit, static_argnums=1)
def run(x, eps):
    image = pl.BlockSpec((1, *x.shape[1:]), lambda b: (b, 0, 0, 0))
    return pl.pallas_call(
        partial(rms_norm, eps=eps),
        grid=(x.shape[0],),
        in_specs=[image],
        out_specs=image,
        out_shape=jax.ShapeDtypeStruct(x.shape, x.dtype),
        interpret=interpret(),
    )(x)


class ModelNew(nn.Module):
    def __init__(self, features, eps=1e-5):
        super().__init__()
        self.eps = eps

    def forward(self, x):
        return to_torch(run(to_jax(x), self.eps))
