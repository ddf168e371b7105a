"""relu_self_attention: wrong, scores are scaled by the whole width instead of a head's."""

import math

import torch
import torch.nn as nn
import torch.nn.functional as F
import triton
import triton.language as tl


@triton.jit
def attention(
    qkv, out, tokens, heads, dim, scale,
    QUERIES: tl.constexpr, KEYS: tl.constexpr, DIM: tl.constexpr,
):  # fmt: skip
    # qkv: (batch, tokens, 3, heads, dim), out: (batch, tokens, heads, dim)
    first = tl.program_id(0) * QUERIES
    batch, head = tl.program_id(1) // heads, tl.program_id(1) % heads
    width = heads * dim
    rows = first + tl.arange(0, QUERIES)
    channels = tl.arange(0, DIM)  # padded to a power of two: `real` marks those that exist
    real = channels < dim
    base = qkv + batch.to(tl.int64) * tokens * 3 * width + head * dim
    at = rows[:, None] * 3 * width + channels[None, :]
    q = tl.load(base + at, mask=(rows < tokens)[:, None] & real[None, :], other=0.0)
    total = tl.full((QUERIES, DIM), 0.0, dtype=tl.float32)
    for start in range(0, tl.minimum(first + QUERIES, tokens), KEYS):
        columns = start + tl.arange(0, KEYS)
        at = columns[:, None] * 3 * width + channels[None, :]
        inside = (columns < tokens)[:, None] & real[None, :]
        k = tl.load(base + width + at, mask=inside, other=0.0)
        v = tl.load(base + 2 * width + at, mask=inside, other=0.0)
        # "ieee": without it the GPU rounds products to TF32
        scores = tl.dot(q, tl.trans(k), input_precision="ieee") * scale
        scores = tl.where(rows[:, None] >= columns[None, :], scores, 0.0)
        weights = tl.where(scores < 0.0, 0.0, scores)  # NaN stays NaN, as in torch.relu
        total += tl.dot(weights, v, input_precision="ieee")
    target = out + batch.to(tl.int64) * tokens * width + head * dim
    at = rows[:, None] * width + channels[None, :]
    tl.store(target + at, total, mask=(rows < tokens)[:, None] & real[None, :])


class ModelNew(nn.Module):
    def __init__(self, n_embd, n_head, max_seqlen):
        super().__init__()
        self.n_head = n_head
        self.c_attn = nn.Linear(n_embd, 3 * n_embd)
        self.c_proj = nn.Linear(n_embd, n_embd)  # the reference has it too and does not use it

    def forward(self, x):
        batch, tokens, width = x.shape
        dim = width // self.n_head
        qkv = F.linear(x, self.c_attn.weight, self.c_attn.bias).contiguous()
        out = torch.empty_like(qkv[..., :width], memory_format=torch.contiguous_format)
        grid = (triton.cdiv(tokens, 32), batch * self.n_head)
        attention[grid](
            qkv, out, tokens, self.n_head, dim, 1 / math.sqrt(width),
            QUERIES=32, KEYS=32, DIM=max(16, 1 << (dim - 1).bit_length()),
        )  # fmt: skip
        return out
