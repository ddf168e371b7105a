"""The attention tasks that joined the benchmark after the paper (27 October 2025)."""

import math

import torch
import torch.nn as nn
import torch.nn.functional as F

from kernelmill.tasks.suites.entry import Category, sizes

tasks = Category("attention")
TOKENS = "torch.rand(batch_size, length, dim)"
SMALL = {"batch_size": 2, "length": 24, "dim": 32, "embed_dim": 32}


def module(batch_size, length, dim, num_heads, small=SMALL, **constants):
    extents = {
        "batch_size": batch_size, "length": length, "dim": dim, "embed_dim": dim,
        "num_heads": num_heads, **constants,
    }  # fmt: skip
    return sizes(head=extents, small=small)


def band_mask(max_length, before, after):
    """-inf where the key is more than ``before`` positions back or ``after`` ahead."""
    place = torch.arange(max_length)
    distance = place[None, :] - place[:, None]
    mask = torch.zeros(max_length, max_length)
    return mask.masked_fill((distance < -before) | (distance > after), float("-inf"))


@tasks.add(
    module(32, 64, 512, 4, small={**SMALL, "max_length": 64}), name="causal_attention", x=TOKENS
)
class CausalAttention(nn.Module):
    """Multi-head self-attention to the positions before and including one's own."""

    def __init__(self, embed_dim, num_heads, max_length=4096):
        super().__init__()
        self.attention = nn.MultiheadAttention(embed_dim, num_heads, batch_first=True)
        mask = band_mask(max_length, max_length, 0)
        self.register_buffer("mask", mask, persistent=False)

    def forward(self, x):
        length = x.size(1)
        return self.attention(x, x, x, attn_mask=self.mask[:length, :length])[0]


@tasks.add(
    module(16, 64, 512, 8, keys=128, small={**SMALL, "keys": 40}),
    query=TOKENS,
    key_value="torch.rand(batch_size, keys, dim)",
    layers={"attention": "nn.MultiheadAttention(embed_dim, num_heads, batch_first=True)"},
    signature="embed_dim, num_heads",
)
def cross_attention(self, query, key_value):
    """Multi-head attention of one sequence to another."""
    return self.attention(query, key_value, key_value)[0]


@tasks.add(
    sizes(
        head={
            "batch_size": 4, "words": 32, "patches": 196, "text_dim": 256, "image_dim": 512,
            "num_heads": 8,
        },
        small={"batch_size": 2, "words": 12, "patches": 30, "text_dim": 32, "image_dim": 48},
    ),
    text="torch.rand(batch_size, words, text_dim)",
    image="torch.rand(batch_size, patches, image_dim)",
    layers={
        "text": "nn.Linear(text_dim, text_dim)",
        "image": "nn.Linear(image_dim, text_dim)",
        "attention": "nn.MultiheadAttention(text_dim, num_heads, batch_first=True)",
    },
    signature="text_dim, image_dim, num_heads",
)  # fmt: skip
def cross_modal_attention(self, text, image):
    """Projected words attend to projected patches of an image."""
    patches = self.image(image)
    return self.attention(self.text(text), patches, patches)[0]


class GroupedQueries(nn.Module):
    """Attention whose query heads share fewer heads of keys and values."""

    def __init__(self, embed_dim, num_heads, num_groups):
        super().__init__()
        self.num_heads = num_heads
        self.num_groups = num_groups
        self.head_dim = embed_dim // num_heads
        self.query = nn.Linear(embed_dim, embed_dim)
        self.key = nn.Linear(embed_dim, num_groups * self.head_dim)
        self.value = nn.Linear(embed_dim, num_groups * self.head_dim)
        self.out = nn.Linear(embed_dim, embed_dim)

    def heads(self, x, count):
        x = x.view(x.size(0), x.size(1), count, self.head_dim).transpose(1, 2)
        return x.repeat_interleave(self.num_heads // count, dim=1)

    def forward(self, x):
        query = self.heads(self.query(x), self.num_heads)
        key = self.heads(self.key(x), self.num_groups)
        value = self.heads(self.value(x), self.num_groups)
        scores = torch.matmul(query, key.transpose(-2, -1)) / math.sqrt(self.head_dim)
        mixed = torch.matmul(torch.softmax(scores, dim=-1), value)
        return self.out(mixed.transpose(1, 2).reshape(x.shape))


@tasks.add(
    module(8, 128, 1024, 16, num_groups=4, small={**SMALL, "num_heads": 4, "num_groups": 2}),
    x=TOKENS,
    layers={"attention": "GroupedQueries(embed_dim, num_heads, num_groups)"},
    signature="embed_dim, num_heads, num_groups",
)
def group_query_attention(self, x):
    """Grouped-query self-attention: several query heads share a head of keys and values."""
    return self.attention(x)


def cached(batch_size, length, keys, dim):
    extents = {"batch_size": batch_size, "length": length, "keys": keys, "dim": dim}
    return sizes(head=extents, small={"batch_size": 2, "keys": 90, "dim": 64})


QUERIES = {
    "query": TOKENS,
    "key": "torch.rand(batch_size, keys, dim)",
    "value": "torch.rand(batch_size, keys, dim)",
}
# Keys of uniform values all get the same weight, and their values average to 1/2.
MATTER = {
    "query": "torch.randn(batch_size, length, dim)",
    "key": "torch.randn(batch_size, keys, dim)",
    "value": "torch.randn(batch_size, keys, dim)",
}


def attend(query, key, value):
    scores = torch.bmm(query, key.transpose(1, 2)) / math.sqrt(query.size(-1))
    return torch.bmm(torch.softmax(scores, dim=-1), value)


@tasks.add(cached(1, 1, 2048, 4096), **QUERIES, repair=MATTER)
def kv_cached_attention_inference(query, key, value):
    """One new token attends to a cache of keys and values, a single head."""
    return attend(query, key, value)


@tasks.add(cached(8, 1, 4096, 4096), **QUERIES, repair=MATTER)
def kv_cached_chat_batch_attention(query, key, value):
    """One new token of each of several conversations attends to its cache, a single head."""
    return attend(query, key, value)


@tasks.add(cached(2, 4, 4096, 4096), **QUERIES, repair=MATTER)
def kv_cached_speculative_attention(query, key, value):
    """A few draft tokens attend to a cache without a mask, a single head."""
    return attend(query, key, value)


SELF = {
    "query": TOKENS,
    "key": TOKENS,
    "value": TOKENS,
}
SELF_MATTER = dict.fromkeys(SELF, "torch.randn(batch_size, length, dim)")


def sequences(batch_size, length, dim):
    return sizes(
        head={"batch_size": batch_size, "length": length, "dim": dim},
        small={"batch_size": 1, "length": 40, "dim": 48},
    )


@tasks.add(sequences(8, 512, 1024), **SELF, repair=SELF_MATTER)
def linear_attention(query, key, value):
    """relu(Q) (relu(K)' V): attention without softmax or normaliser."""
    return torch.bmm(F.relu(query), torch.bmm(F.relu(key).transpose(1, 2), value))


@tasks.add(
    module(16, 256, 512, 8),
    x=TOKENS,
    layers={"attention": "nn.MultiheadAttention(embed_dim, num_heads, batch_first=True)"},
    signature="embed_dim, num_heads",
)
def multi_head_attention(self, x):
    """Multi-head self-attention."""
    return self.attention(x, x, x)[0]


@tasks.add(
    module(2, 4096, 4096, 32, small={**SMALL, "num_heads": 4}),
    x=TOKENS,
    layers={"attention": "GroupedQueries(embed_dim, num_heads, 1)"},
    signature="embed_dim, num_heads",
)
def multi_query_attention(self, x):
    """Self-attention whose query heads share one head of keys and values."""
    return self.attention(x)


@tasks.add(
    sizes(
        head={"batch_size": 32, "num_heads": 32, "length": 512, "dim": 1024},
        small={"batch_size": 1, "num_heads": 2, "length": 40, "dim": 48},
    ),
    **dict.fromkeys(SELF, "torch.rand(batch_size, num_heads, length, dim)"),
    repair=dict.fromkeys(SELF, "torch.randn(batch_size, num_heads, length, dim)"),
)
def scaled_dot_product_attention(query, key, value):
    """softmax(Q K' / sqrt d) V for every head."""
    return F.scaled_dot_product_attention(query, key, value)


@tasks.add(sequences(1, 2048, 4096), **SELF, repair=SELF_MATTER)
def scaled_dot_product_attention_inference(query, key, value):
    """softmax(Q K' / sqrt d) V, a single head."""
    return attend(query, key, value)


@tasks.add(sequences(1, 16384, 12288), **SELF, repair=SELF_MATTER)
def scaled_dot_product_attention_long_context(query, key, value):
    """softmax(Q K' / sqrt d) V of a long sequence, a single head."""
    return attend(query, key, value)


@tasks.add(
    module(16, 128, 512, 4, window=32, small={**SMALL, "window": 5, "max_length": 64}),
    name="sparse_attention",
    x=TOKENS,
)
class BandAttention(nn.Module):
    """Multi-head self-attention to the positions within a window on both sides."""

    def __init__(self, embed_dim, num_heads, window, max_length=4096):
        super().__init__()
        self.attention = nn.MultiheadAttention(embed_dim, num_heads, batch_first=True)
        mask = band_mask(max_length, window, window)
        self.register_buffer("mask", mask, persistent=False)

    def forward(self, x):
        length = x.size(1)
        return self.attention(x, x, x, attn_mask=self.mask[:length, :length])[0]


@tasks.add(
    module(4, 2048, 1024, 16, window=256, small={**SMALL, "num_heads": 4, "window": 6}),
    name="windowed_causal_attention",
    x=TOKENS,
)
class WindowedCausalAttention(nn.Module):
    """Causal self-attention to one's own and the last ``window`` positions, row after row."""

    def __init__(self, embed_dim, num_heads, window):
        super().__init__()
        self.num_heads = num_heads
        self.head_dim = embed_dim // num_heads
        self.window = window
        self.query = nn.Linear(embed_dim, embed_dim)
        self.key = nn.Linear(embed_dim, embed_dim)
        self.value = nn.Linear(embed_dim, embed_dim)
        self.out = nn.Linear(embed_dim, embed_dim)

    def heads(self, x):
        return x.view(x.size(0), x.size(1), self.num_heads, self.head_dim).transpose(1, 2)

    def forward(self, x):
        query, key, value = (self.heads(f(x)) for f in (self.query, self.key, self.value))
        rows = []
        for i in range(x.size(1)):
            seen = slice(max(0, i - self.window), i + 1)
            scores = torch.matmul(query[:, :, i : i + 1], key[:, :, seen].transpose(-2, -1))
            weights = torch.softmax(scores / math.sqrt(self.head_dim), dim=-1)
            rows.append(torch.matmul(weights, value[:, :, seen]))
        return self.out(torch.cat(rows, dim=2).transpose(1, 2).reshape(x.shape))
