"""What all launches of the Triton kernels have in common: sizes, tables of roots, arguments."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor


def longest(device: torch.device) -> int:
    """Rows up to this length are one program: their transforms fit into shared memory."""
    if device.type != "cuda":
        return 4096
    room = torch.cuda.get_device_properties(device).shared_memory_per_block_optin
    return 4096 if room >= 160 << 10 else 1024


def bits_of(length: int) -> int:
    return max(8, (length - 1).bit_length())


def factors(bits: int) -> tuple[int, int]:
    """N1, N2: powers of two with N1 N2 = 2^bits, as near to each other as can be."""
    return 1 << (bits + 1) // 2, 1 << bits // 2


def roots(turns: list[Tensor], device: torch.device) -> Tensor:
    """cos and sin of each (in whole turns), one behind the other, in float32."""
    parts = []
    for part in turns:
        angle = 2 * torch.pi * (part.double() % 1)
        parts += [angle.cos().flatten(), angle.sin().flatten()]
    return torch.cat(parts).to(device=device, dtype=torch.float32)


@lru_cache(maxsize=32)
def tables(n1: int, n2: int, start: float, device: torch.device) -> Tensor:
    """F1[k1, a], T[k1, b], F2[b, k2] of `triton_kernels`; ``start``: 1/4, or 0 for X^M - 1."""
    k1, b = torch.arange(n1).double()[:, None] + start, torch.arange(n2).double()
    turns = [k1 * torch.arange(n1) / n1, k1 * b / (n1 * n2), b[:, None] * b / n2]
    return roots(turns, device)


class Arguments:
    """The operator's arguments as kernels want them; absent tensors are stood in for by u."""

    def __init__(self, u, k, skip, k_rev, in_gate, out_gate, lengths, offset):
        self.batch, self.heads, self.length = u.shape
        self.k = k[..., : self.length].contiguous()
        self.kernels, _, self.taps = self.k.shape
        k_rev = None if k_rev is None else k_rev[..., : self.length - offset].contiguous()
        self.ahead = 0 if k_rev is None else k_rev.shape[-1]
        self.k_rev = k_rev if self.ahead else self.k
        self.offset = offset
        self.u = u
        self.in_gate = u if in_gate is None else in_gate
        self.out_gate = u if out_gate is None else out_gate
        self.skip = u if skip is None else skip.contiguous()
        self.lengths = u if lengths is None else lengths.contiguous()
        self.u_strides = u.stride()
        self.in_strides = (0, 0, 0) if in_gate is None else in_gate.stride()
        self.out_strides = (0, 0, 0, 0) if out_gate is None else out_gate.stride()
        self.strides = (*self.u_strides, *self.in_strides, *self.out_strides)
        self.has_in = {"IN": in_gate is not None}
        self.has_out = {"OUT": out_gate is not None}
        self.has_skip = {"SKIP": skip is not None}
        self.has_lengths = {"HAS_LENGTHS": lengths is not None}
        self.has_reverse = {"HAS_REVERSE": self.ahead > 0}
        self.precision = {"PRECISION": "ieee" if u.dtype is torch.float32 else "tf32"}
