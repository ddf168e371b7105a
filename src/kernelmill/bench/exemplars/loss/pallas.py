"""mse_loss: all programs add to the same number, one after the other."""

from functools import partial

import jax
import jax.numpy as jnp
import torch.nn as nn
from jax.experimental import pallas as pl

from kernelmill.backends.pallas import interpret, to_jax, to_torch

BLOCK = 4096


def mse(a_ref, b_ref, loss_ref, *, count):
    step = pl.program_id(0)

    @pl.when(step == 0)
    def _():
        loss_ref[...] = jnp.zeros_like(loss_ref)

    inside = step * BLOCK + jnp.arange(BLOCK) < count
    difference = jnp.where(inside, a_ref[...] - b_ref[...], 0.0)
    loss_ref[...] += jnp.sum(difference * difference, keepdims=True) / count


@jax.jit
def run(a, b):
    a, b = a.reshape(-1), b.reshape(-1)
    block = pl.BlockSpec((BLOCK,), lambda i: (i,))
    return pl.pallas_call(
        partial(mse, count=a.size),
        grid=(pl.cdiv(a.size, BLOCK),),
        in_specs=[block, block],
        out_specs=pl.BlockSpec((1,), lambda i: (0,)),
        out_shape=jax.ShapeDtypeStruct((1,), a.dtype),
        interpret=interpret(),
    )(a, b)


class ModelNew(nn.Module):
    def forward(self, predictions, targets):
        return to_torch(run(to_jax(predictions), to_jax(targets))).reshape(())
