"""The state space model of Mamba-2 in chunks (Dao and Gu 2024, arXiv 2405.21060, section 6)."""

import torch
import torch.nn as nn
import torch.nn.functional as F

from kernelmill.tasks.suites.entry import Category, sizes

tasks = Category("arch")
SIZES = sizes(
    head={
        "batch_size": 2048,
        "seq_length": 128,
        "n_heads": 8,
        "d_head": 64,
        "d_state": 16,
        "block_len": 64,
    },
    paper={"batch_size": 16},
    small={
        "batch_size": 2,
        "seq_length": 32,
        "n_heads": 4,
        "d_head": 16,
        "d_state": 8,
        "block_len": 8,
    },
)
X = "torch.rand(batch_size, seq_length, n_heads, d_head)"


def segment_sums(x):
    """Sum of x over (j, i] at row i, column j; -inf above the diagonal."""
    total = torch.cumsum(x, dim=-1)
    sums = total.unsqueeze(-1) - total.unsqueeze(-2)
    length = x.size(-1)
    below = torch.tril(torch.ones(length, length, dtype=torch.bool, device=x.device))
    return sums.masked_fill(~below, float("-inf"))


class ChunkedScan(nn.Module):
    """h_t = exp(A_t) h_(t-1) + B_t x_t, y_t = C_t h_t for each head, in chunks of ``block_len``
    steps: products within a chunk, a scan over the chunks' states.

    A, B and C are parameters, one value per batch element and step.
    """

    def __init__(self, batch_size, seq_length, n_heads, d_head, d_state, block_len=64):
        super().__init__()
        self.block_len = block_len
        self.A = nn.Parameter(torch.randn(batch_size, seq_length, n_heads))
        self.B = nn.Parameter(torch.randn(batch_size, seq_length, n_heads, d_state))
        self.C = nn.Parameter(torch.randn(batch_size, seq_length, n_heads, d_state))

    def scan(self, x):
        """Within the chunks (b, c, l, h, p); the states before each chunk and after the last
        (b, c + 1, h, p, n); the decay up to each step (b, h, c, l); C in chunks."""
        x, A, B, C = (
            part.unflatten(1, (-1, self.block_len)) for part in (x, self.A, self.B, self.C)
        )
        A = A.permute(0, 3, 1, 2)
        decay = torch.cumsum(A, dim=-1)
        scores = torch.einsum("bclhn,bcshn->bhcls", C, B) * torch.exp(segment_sums(A))
        within = torch.einsum("bhcls,bcshp->bclhp", scores, x)
        to_end = torch.exp(decay[..., -1:] - decay).permute(0, 2, 3, 1).unsqueeze(-1)
        states = torch.einsum("bclhn,bclhp->bchpn", B * to_end, x)
        states = torch.cat((torch.zeros_like(states[:, :1]), states), dim=1)
        between = torch.exp(segment_sums(F.pad(decay[..., -1], (1, 0))))
        states = torch.einsum("bhzc,bchpn->bzhpn", between, states)
        return within, states, decay, C


@tasks.add(SIZES, name="mamba_return_y", x=X, kernelbench="L3/48")
class MambaReturnY(ChunkedScan):
    """Mamba-2's state space model in chunks: h_t = exp(A_t) h_(t-1) + B_t x_t, y_t = C_t h_t per
    head, with A, B, C as parameters; returns y."""

    def forward(self, x):
        within, states, decay, C = self.scan(x)
        across = torch.einsum("bclhn,bchpn->bclhp", C, states[:, :-1])
        y = within + across * torch.exp(decay).permute(0, 2, 3, 1).unsqueeze(-1)
        return y.flatten(1, 2)


@tasks.add(
    SIZES,
    name="mamba_return_final_state",
    x=X,
    kernelbench="L3/49",
    note="computes the outputs within the chunks and drops them",
)
class MambaReturnFinalState(ChunkedScan):
    """Mamba-2's state space model in chunks: h_t = exp(A_t) h_(t-1) + B_t x_t per head, with A, B,
    C as parameters; returns the last state."""

    def forward(self, x):
        return self.scan(x)[1][:, -1]
