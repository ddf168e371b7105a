"""Causal transformers after minGPT, and attention with ReLU in place of softmax."""

import math

import torch
import torch.nn as nn
import torch.nn.functional as F

from kernelmill.tasks.suites.entry import Category, sizes

tasks = Category("arch")
X = "torch.rand(batch_size, seq_len, n_embd)"


def causal_mask(tokens):
    """True where a query (row) sees a key (column)."""
    return torch.ones(tokens, tokens, dtype=torch.bool).tril()


class CausalAttention(nn.Module):
    """softmax(Q K^T / sqrt(d)) V over heads, later tokens masked, and a linear layer."""

    def __init__(self, n_embd, n_head, attn_pdrop, resid_pdrop, max_seqlen):
        super().__init__()
        self.n_head = n_head
        self.c_attn = nn.Linear(n_embd, 3 * n_embd)
        self.c_proj = nn.Linear(n_embd, n_embd)
        self.attn_dropout = nn.Dropout(attn_pdrop)
        self.resid_dropout = nn.Dropout(resid_pdrop)
        self.register_buffer("visible", causal_mask(max_seqlen), persistent=False)

    def forward(self, x):
        tokens = x.size(1)
        # (batch, heads, tokens, channels per head) each
        q, k, v = (
            part.unflatten(2, (self.n_head, -1)).transpose(1, 2)
            for part in self.c_attn(x).chunk(3, dim=2)
        )
        scores = q @ k.transpose(-2, -1) / math.sqrt(k.size(-1))
        scores = scores.masked_fill(~self.visible[:tokens, :tokens], float("-inf"))
        weights = self.attn_dropout(F.softmax(scores, dim=-1))
        y = (weights @ v).transpose(1, 2).flatten(2)
        return self.resid_dropout(self.c_proj(y))


SIZES = sizes(
    head={
        "batch_size": 128,
        "seq_len": 512,
        "n_embd": 768,
        "n_head": 8,
        "attn_pdrop": 0.0,
        "resid_pdrop": 0.0,
        "max_seqlen": 1024,
    },
    small={"batch_size": 2, "seq_len": 32, "n_embd": 64, "n_head": 4, "max_seqlen": 64},
)
ARGUMENTS = "n_embd, n_head, attn_pdrop, resid_pdrop, max_seqlen"


@tasks.add(
    SIZES,
    signature=ARGUMENTS,
    layers={"attention": f"CausalAttention({ARGUMENTS})"},
    x=X,
    kernelbench="L3/43",
)
def min_gpt_causal_attention(self, x):
    """Causal self-attention: softmax(Q K^T / sqrt(d)) V over heads, later tokens masked, and a
    linear layer."""
    return self.attention(x)


@tasks.add(SIZES, name="mini_gpt_block", x=X, kernelbench="L3/44")
class MiniGPTBlock(nn.Module):
    """Transformer block: x += attention(LayerNorm(x)), x += MLP(LayerNorm(x)), the attention
    causal, the MLP four times as wide with GELU by its tanh approximation."""

    def __init__(self, n_embd, n_head, attn_pdrop, resid_pdrop, max_seqlen):
        super().__init__()
        self.ln_1 = nn.LayerNorm(n_embd)
        self.attention = CausalAttention(n_embd, n_head, attn_pdrop, resid_pdrop, max_seqlen)
        self.ln_2 = nn.LayerNorm(n_embd)
        self.mlp = nn.Sequential(
            nn.Linear(n_embd, 4 * n_embd),
            nn.GELU(approximate="tanh"),
            nn.Linear(4 * n_embd, n_embd),
            nn.Dropout(resid_pdrop),
        )

    def forward(self, x):
        x = x + self.attention(self.ln_1(x))
        return x + self.mlp(self.ln_2(x))


@tasks.add(
    sizes(
        head={
            "batch_size": 16,
            "seq_len": 1024,
            "n_embd": 768,
            "n_head": 12,
            "max_seqlen": 1024,
        },
        small={"batch_size": 2, "seq_len": 32, "n_embd": 64, "n_head": 4, "max_seqlen": 64},
    ),
    name="relu_self_attention",
    x=X,
    kernelbench="L3/50",
    note="has an output projection that it does not use",
)
class ReLUSelfAttention(nn.Module):
    """Causal attention with ReLU in place of softmax, later tokens masked:
    relu(Q K^T / sqrt(d)) V over heads."""

    def __init__(self, n_embd, n_head, max_seqlen):
        super().__init__()
        self.n_head = n_head
        self.c_attn = nn.Linear(n_embd, 3 * n_embd)
        self.c_proj = nn.Linear(n_embd, n_embd)  # unused, as published
        self.register_buffer("visible", causal_mask(max_seqlen), persistent=False)

    def forward(self, x):
        tokens = x.size(1)
        q, k, v = (
            part.unflatten(2, (self.n_head, -1)).transpose(1, 2)
            for part in self.c_attn(x).chunk(3, dim=2)
        )
        scores = q @ k.transpose(-2, -1) / math.sqrt(k.size(-1))
        scores = scores.masked_fill(~self.visible[:tokens, :tokens], float("-inf"))
        return (F.relu(scores) @ v).transpose(1, 2).flatten(2)
