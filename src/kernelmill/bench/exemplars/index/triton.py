"""gather: an index is loaded with the block, the element it names with a second load."""

import torch.nn as nn
import triton
import triton.language as tl


@triton.jit
def gather(x, index, y, length, count, BLOCK: tl.constexpr):
    place = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = place < count
    row = tl.program_id(1).to(tl.int64)
    chosen = tl.load(index + row * count + place, mask=inside, other=0)
    # an index beyond the row must not read what belongs to others
    known = inside & (chosen >= 0) & (chosen < length)
    values = tl.load(x + row * length + chosen, mask=known, other=float("nan"))
    tl.store(y + row * count + place, values, mask=inside)


class ModelNew(nn.Module):
    def forward(self, x, indices):
        x, indices = x.contiguous(), indices.contiguous()
        rows, count = indices.shape
        y = x.new_empty(rows, count)
        gather[(triton.cdiv(count, 256), rows)](x, indices, y, x.shape[1], count, BLOCK=256)
        return y
