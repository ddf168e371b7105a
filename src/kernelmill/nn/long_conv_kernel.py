"""The kernel of a long convolution: learned taps, smoothed and squashed."""

from __future__ import annotations

import warnings
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kernelmill.nn.optim_module import OptimModule
from kernelmill.ops.long_conv.transforms import smooth_kernel, squash

INITS = ("random", "double_exp")
FEW_LIVE = 0.05  # share of live taps below which "hard" warns


class LongConvKernel(OptimModule):
    r"""Learned taps: ``dropout(squash(smooth(kernel)))``.

    ``squash(k) = sign(k) max(|k| - lam, 0)``; see `kernelmill.ops.long_conv.transforms`.

    Args:
        H: channels. L: taps per kernel.
        channels: C, kernels per channel.
        lam: threshold of squash; 0 turns it off.
        squash_grad: ``"straight_through"``, or ``"hard"``: the published gradient, which is zero
            where |k| <= lam. Such a tap never moves again, as weight decay is 0, too.
        allow_dead: let a kernel whose every tap is such a one pass (to load a checkpoint into it).
        causal: False: 2 L taps; tap j < L is lag j, tap 2 L - i is lag -i.
        kernel_dropout: of taps, in training.
        weight_init: ``"random"``: 0.002 N(0, 1). ``"double_exp"``: 0.02 N(0, 1) times
            ``exp(-(j / L) floor(H / 2) ** (i / H))`` at channel i, lag j.
        use_ma_smoothing: mean over ``ma_window_len`` (odd) neighbours before squash; with
            ``smooth_freq`` over neighbours in the spectrum.
        learning_rate: of the taps, kept for `kernelmill.training.param_groups` with weight decay
            0. ``0.0`` makes them a buffer.
        device, dtype: of the taps.

    Shapes:
        () -> (C, H, L), or (C, H, 2 L). State: ``kernel``, of the same shape.

    Raises:
        ValueError: a value is out of range; with ``"hard"``: no tap is above ``lam``.

    Source: arXiv 2302.06646, section 3. lam = 0.003 and the straight-through gradient are ours;
    the published default, lam = 0.1 with the hard gradient, leaves no tap alive.

    Example:
        >>> from kernelmill.nn import LongConvKernel
        >>> kernel = LongConvKernel(H=4, L=64, channels=2, use_ma_smoothing=True)
        >>> kernel().shape
        torch.Size([2, 4, 64])
    """

    def __init__(
        self,
        H: int,  # noqa: N803
        L: int,  # noqa: N803
        channels: int = 1,
        lam: float = 0.003,
        squash_grad: str = "straight_through",
        allow_dead: bool = False,
        causal: bool = True,
        kernel_dropout: float = 0.0,
        weight_init: str = "random",
        use_ma_smoothing: bool = False,
        ma_window_len: int = 7,
        smooth_freq: bool = False,
        learning_rate: float | None = None,
        device: Any = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        for name, value in (("H", H), ("L", L), ("channels", channels)):
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"{name}: got {value}, wanted a whole number of at least 1")
        check_share("kernel_dropout", kernel_dropout)
        if weight_init not in INITS:
            raise ValueError(f"weight_init: got {weight_init!r}, wanted one of {', '.join(INITS)}")
        if learning_rate is not None and not learning_rate >= 0:
            raise ValueError(f"learning_rate: got {learning_rate}, wanted None or at least 0")
        squash(torch.zeros(1), lam, squash_grad)  # checks both
        if use_ma_smoothing:
            smooth_kernel(torch.zeros(1), ma_window_len)
        self.H, self.L, self.channels, self.causal = H, L, channels, causal
        self.lam, self.squash_grad, self.allow_dead = lam, squash_grad, allow_dead
        self.kernel_dropout, self.weight_init = kernel_dropout, weight_init
        self.use_ma_smoothing, self.ma_window_len = use_ma_smoothing, ma_window_len
        self.smooth_freq = smooth_freq
        taps = torch.empty(channels, H, L if causal else 2 * L, device=device, dtype=dtype)
        if learning_rate == 0:
            self.register_buffer("kernel", taps)
        else:
            self.kernel = nn.Parameter(taps)
            self.set_optim_options("kernel", lr=learning_rate, weight_decay=0.0)
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Draw the taps, and look how many of them squash leaves alive."""
        if self.weight_init == "random":
            self.kernel.normal_(0, 0.002)
        else:
            self.kernel.normal_(0, 0.02)
            decay = double_exp_envelope(self.H, self.L)
            if not self.causal:  # on both sides the nearest taps are the largest
                decay = torch.cat([decay, decay.flip(-1)], -1)
            self.kernel.mul_(decay.to(self.kernel))
        if self.squash_grad == "hard" and not self.kernel.is_meta:
            self._count_live()

    def _count_live(self) -> None:
        live = self.live_taps()
        if live == 0 and not self.allow_dead:
            raise ValueError(
                f"lam: got {self.lam} with squash_grad='hard', which leaves no tap alive: the "
                "gradient of all is zero for ever. Wanted a smaller lam, "
                "squash_grad='straight_through', or allow_dead=True to load a checkpoint"
            )
        if live < FEW_LIVE:
            warnings.warn(
                f"lam = {self.lam} with squash_grad='hard' leaves {live:.1%} of the taps alive; "
                "the others never move. A smaller lam or squash_grad='straight_through' helps",
                stacklevel=2,
            )

    @torch.no_grad()
    def live_taps(self) -> float:
        """The share of taps that squash leaves different from zero."""
        return float((self._smooth(self.kernel).abs() > self.lam).double().mean())

    def _smooth(self, k: Tensor) -> Tensor:
        if not self.use_ma_smoothing:
            return k
        return smooth_kernel(k, self.ma_window_len, "freq" if self.smooth_freq else "time")

    def forward(self) -> Tensor:
        k = squash(self._smooth(self.kernel), self.lam, self.squash_grad)
        return F.dropout(k, self.kernel_dropout, self.training)

    def extra_repr(self) -> str:
        smooth = "freq" if self.smooth_freq else "time"
        smooth = f"{self.ma_window_len} ({smooth})" if self.use_ma_smoothing else None
        return (
            f"H={self.H}, L={self.L}, channels={self.channels}, lam={self.lam}, "
            f"squash_grad={self.squash_grad!r}, smooth={smooth}, "
            f"kernel_dropout={self.kernel_dropout}, causal={self.causal}"
        )


def double_exp_envelope(channels: int, taps: int) -> Tensor:
    """``exp(-(j / L) floor(H / 2) ** (i / H))``: (H, L), float64."""
    i = torch.arange(channels, dtype=torch.float64)
    j = torch.arange(taps, dtype=torch.float64)
    rate = torch.tensor(float(channels // 2), dtype=torch.float64) ** (i / channels)
    return torch.exp(-rate[:, None] * (j / taps))


def check_share(name: str, value: float) -> None:
    """A dropout probability."""
    if not 0 <= value < 1:
        raise ValueError(f"{name}: got {value}, wanted a number in [0, 1)")
