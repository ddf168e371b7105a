"""Step-by-step evaluation of a causal long convolution: a ring of past inputs."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from kernelmill.ops.numerics import sum_dtype


@dataclass
class ConvState:
    """What a causal convolution has to remember between steps; `step` changes it in place.

    Args:
        past: (B, H, Lk), the last inputs; that of time t is in slot t modulo Lk.
        taps: (C, H, 2 Lk), the kernel backwards, twice, so that the taps of any time are a slice.
        position: steps taken.
    """

    past: Tensor
    taps: Tensor
    position: int = 0

    @classmethod
    def start(cls, kernel: Tensor, batch: int) -> ConvState:
        """For ``kernel`` (C, H, Lk), which is kept as it is now."""
        wide = kernel.detach().to(sum_dtype(kernel.dtype))
        backwards = wide.flip(-1).roll(1, -1)
        past = wide.new_zeros(batch, *kernel.shape[1:])
        return cls(past, torch.cat([backwards, backwards], -1))

    @property
    def length(self) -> int:
        return self.past.shape[2]

    @torch.no_grad()
    def extend(self, u: Tensor) -> None:
        """Remember inputs u (B, H, L) whose outputs are known."""
        for_ring = u[..., -self.length :].to(self.past.dtype)
        first = self.position + u.shape[2] - for_ring.shape[2]
        slots = torch.arange(first, first + for_ring.shape[2], device=u.device) % self.length
        self.past[:, :, slots] = for_ring
        self.position += u.shape[2]

    @torch.no_grad()
    def step(self, u_t: Tensor) -> Tensor:
        """``y[b, c, h] = sum_s k[c, h, s] u[b, h, t - s]`` for u_t: (B, H), in O(Lk)."""
        if u_t.shape != self.past.shape[:2]:
            raise ValueError(
                f"u_t: got shape {tuple(u_t.shape)}, wanted {tuple(self.past.shape[:2])}"
            )
        slot = self.position % self.length
        self.past[:, :, slot] = u_t
        filled = min(self.position + 1, self.length)
        taps = self.taps.narrow(2, self.length - slot, filled)
        self.position += 1
        with torch.autocast(u_t.device.type, enabled=False):
            y = self.past[:, :, :filled].transpose(0, 1) @ taps.permute(1, 2, 0)  # (H, B, C)
        return y.permute(1, 2, 0)

    def select(self, index: Tensor) -> ConvState:
        """The state of the samples ``index``, which may repeat (beams); a copy."""
        return ConvState(self.past.index_select(0, index), self.taps, self.position)
