"""mse_loss: a partial sum per program, then one program adds them."""

import torch.nn as nn
import triton
import triton.language as tl


@triton.jit
def partial(a, b, sums, count, BLOCK: tl.constexpr):
    place = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = place < count
    difference = tl.load(a + place, mask=inside, other=0.0)
    difference -= tl.load(b + place, mask=inside, other=0.0)
    tl.store(sums + tl.program_id(0), tl.sum(difference * difference, axis=0))


@triton.jit
def total(sums, loss, parts, count, BLOCK: tl.constexpr):
    whole = tl.full((BLOCK,), 0.0, dtype=tl.float32)
    for start in range(0, parts, BLOCK):
        place = start + tl.arange(0, BLOCK)
        whole += tl.load(sums + place, mask=place < parts, other=0.0)
    tl.store(loss, tl.sum(whole, axis=0) / count)


class ModelNew(nn.Module):
    def forward(self, predictions, targets):
        a, b = predictions.contiguous(), targets.contiguous()
        parts = triton.cdiv(a.numel(), 4096)
        sums, loss = a.new_empty(parts), a.new_empty(())
        partial[(parts,)](a, b, sums, a.numel(), BLOCK=4096)
        total[(1,)](sums, loss, parts, a.numel(), BLOCK=1024)
        return loss
