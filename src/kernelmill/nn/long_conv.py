"""Sequence layer that convolves with a learned kernel as long as the sequence."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kernelmill.nn.butterfly import ButterflyFFT
from kernelmill.nn.conv_state import ConvState
from kernelmill.nn.long_conv_kernel import LongConvKernel, check_share
from kernelmill.ops.long_conv import long_conv
from kernelmill.ops.long_conv.butterfly import HALF
from kernelmill.ops.long_conv.op import check_length_values
from kernelmill.ops.numerics import next_power_of_two

MODES = ("linear", "circular2L", "official")


class SquaredReLU(nn.Module):
    """``max(x, 0)^2``."""

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x).square()


ACTIVATIONS = {
    "gelu": nn.GELU,
    "relu": nn.ReLU,
    "tanh": nn.Tanh,
    "silu": nn.SiLU,
    "swish": nn.SiLU,
    "sigmoid": nn.Sigmoid,
    "softplus": nn.Softplus,
    "sqrelu": SquaredReLU,
    "id": nn.Identity,
    None: nn.Identity,
}


class SequenceDropout(nn.Module):
    """Dropout that may draw one mask for all times (``tie``); ``dim`` is the dimension of time."""

    def __init__(self, p: float, tie: bool, dim: int) -> None:
        super().__init__()
        check_share("dropout", p)
        self.p, self.tie, self.dim = p, tie, dim

    def forward(self, x: Tensor) -> Tensor:
        if not self.tie:
            return F.dropout(x, self.p, self.training)
        if not self.training or self.p == 0:
            return x
        return x * F.dropout(torch.ones_like(x.narrow(self.dim, 0, 1)), self.p)

    def extra_repr(self) -> str:
        return f"p={self.p}, tie={self.tie}"


class ChannelLinear(nn.Linear):
    """`nn.Linear` over the channels of (B, channels, L)."""

    def forward(self, x: Tensor) -> Tensor:
        batch = x.shape[0]
        bias = self.bias.unsqueeze(-1).expand(batch, -1, -1)
        return torch.baddbmm(bias, self.weight.expand(batch, -1, -1), x)


class LongConv(nn.Module):
    r"""Long convolution, skip connection, activation and a linear mix of the channels.

    ``y[c,h,t] = sum_{s<=t} k[c,h,s] u[h,t-s] + sum_i k_rev[c,h,i] u[h,t+1+i] + D[c,h] u[h,t]``,
    ``out = GLU(W dropout(activation(y)) + b)``, channels of y in the order c H + h

    The same layer serves every length: for L < l_max taps that reach beyond the input are left
    out, for L > l_max missing taps are zero.

    Args:
        d_model: H. l_max: taps per kernel, the longest lag plus 1.
        channels: C, kernels per channel.
        bidirectional: a second kernel looks ahead; the taps are then (2 C, H, l_max), the first C
            look back.
        activation: ``"gelu"`` (with erf), ``"relu"``, ``"tanh"``, ``"silu"``, ``"sigmoid"``,
            ``"softplus"``, ``"sqrelu"`` or ``"id"``.
        postact: ``"glu"``: linear to 2 H, then GLU. ``"id"``: linear to H. None: no linear; the
            result has C H channels.
        weight_norm: the weight of the linear as length times direction.
        dropout, tie_dropout: before the linear; tied: one mask for all times.
        transposed: layout (B, H, L); False: (B, L, H).
        block_fft_conv, block_fft_conv_args: transform by `ButterflyFFT` (whose arguments these
            are), one for the input, one for the kernel. Once its matrices are learned, outputs
            do depend on later inputs.
        mode: ``"linear"``. ``"circular2L"``: the published standalone model's two-sided kernel
            of 2 l_max taps. ``"official"``: the published layer to the letter: for L < l_max its
            outputs **depend on later inputs**; only to reproduce checkpoints trained so.
        strict_length: refuse inputs longer than l_max.
        kernel_args: of `LongConvKernel`: lam, squash_grad, kernel_dropout, weight_init, ...
        device, dtype: of the parameters.

    Shapes:
        u: (B, H, L) or (B, L, H); lengths: an int, or int64 or int32 of shape (B,) or (1,):
        positions from there on count as zero -> (y, None), y like u. The second is for callers of
        the S4 family. State: ``D`` (C, H), ``kernel.kernel``, ``output_linear.0.weight`` and
        ``.bias``: those of published checkpoints, which load; a standalone layer's ``kernel``, too.

    Raises:
        ValueError: an argument is out of range; in forward: a shape or length does not fit.
        TypeError: lengths are not whole numbers.

    Source: arXiv 2302.06646, section 3, and its published code, of which the defaults are, but
    for the kernel's.

    Example:
        >>> import torch
        >>> from kernelmill.nn import LongConv
        >>> layer = LongConv(16, l_max=256, channels=2, transposed=False)
        >>> y, _ = layer(torch.randn(2, 100, 16))
        >>> y.shape
        torch.Size([2, 100, 16])
    """

    def __init__(
        self,
        d_model: int,
        l_max: int,
        channels: int = 1,
        bidirectional: bool = False,
        activation: str | None = "gelu",
        postact: str | None = "glu",
        weight_norm: bool = False,
        dropout: float = 0.0,
        tie_dropout: bool = False,
        transposed: bool = True,
        block_fft_conv: bool = False,
        block_fft_conv_args: dict[str, Any] | None = None,
        mode: str = "linear",
        strict_length: bool = False,
        device: Any = None,
        dtype: torch.dtype | None = None,
        **kernel_args: Any,
    ) -> None:
        super().__init__()
        check_sizes(d_model, l_max)
        if not isinstance(channels, int) or channels < 1:
            raise ValueError(f"channels: got {channels}, wanted a whole number of at least 1")
        if activation not in ACTIVATIONS:
            known = ", ".join(str(name) for name in ACTIVATIONS)
            raise ValueError(f"activation: got {activation!r}, wanted one of {known}")
        if postact not in ("glu", "id", None):
            raise ValueError(f"postact: got {postact!r}, wanted 'glu', 'id' or None")
        if mode not in MODES:
            raise ValueError(f"mode: got {mode!r}, wanted one of {', '.join(MODES)}")
        if mode == "circular2L" and bidirectional:
            raise ValueError("bidirectional: got True for mode='circular2L', which is two-sided")
        if block_fft_conv_args and not block_fft_conv:
            raise ValueError("block_fft_conv_args: got some with block_fft_conv=False")
        where = {"device": device, "dtype": dtype}
        self.d_model, self.l_max, self.channels = d_model, l_max, channels
        self.bidirectional, self.transposed = bidirectional, transposed
        self.mode, self.strict_length, self.postact = mode, strict_length, postact
        self.D = nn.Parameter(torch.empty(channels, d_model, **where))
        self.kernel = LongConvKernel(
            d_model, l_max, channels * (2 if bidirectional else 1),
            causal=mode != "circular2L", **where, **kernel_args,
        )  # fmt: skip
        if block_fft_conv:
            options = where | (block_fft_conv_args or {})
            self.block_fft_u, self.block_fft_k = ButterflyFFT(**options), ButterflyFFT(**options)
        self.block_fft_conv = block_fft_conv
        self.activation = ACTIVATIONS[activation]()
        self.dropout = SequenceDropout(dropout, tie_dropout, dim=-1 if transposed else 1)
        if postact is None:
            self.output_linear = nn.Identity()
        else:
            make = ChannelLinear if transposed else nn.Linear
            wide = 2 if postact == "glu" else 1
            linear = make(channels * d_model, wide * d_model, **where)
            if weight_norm:
                linear = nn.utils.parametrizations.weight_norm(linear)
            last = nn.GLU(1 if transposed else -1) if postact == "glu" else nn.Identity()
            self.output_linear = nn.Sequential(linear, last)
        nn.init.normal_(self.D)
        self.register_load_state_dict_pre_hook(_standalone_kernel)

    def reset_parameters(self) -> None:
        """Draw everything anew."""
        nn.init.normal_(self.D)
        self.kernel.reset_parameters()
        if self.block_fft_conv:
            self.block_fft_u.reset_parameters()
            self.block_fft_k.reset_parameters()
        if self.postact is not None:
            linear = self.output_linear[0]
            where = {"device": linear.bias.device, "dtype": linear.bias.dtype}
            fresh = nn.Linear(linear.in_features, linear.out_features, **where)
            with torch.no_grad():
                linear.bias.copy_(fresh.bias)
                if nn.utils.parametrize.is_parametrized(linear):  # weight_norm
                    linear.weight = fresh.weight.detach()
                else:
                    linear.weight.copy_(fresh.weight)

    def forward(self, u: Tensor, lengths: Tensor | int | None = None) -> tuple[Tensor, None]:
        x = self._inputs(u)
        return self._mix(self._convolve(x, self._lengths(lengths, x))), None

    def _inputs(self, u: Tensor) -> Tensor:
        """u as (B, H, L)."""
        at = 1 if self.transposed else 2
        if u.dim() != 3 or u.shape[at] != self.d_model:
            layout = f"(B, {self.d_model}, L)" if self.transposed else f"(B, L, {self.d_model})"
            raise ValueError(f"u: got shape {tuple(u.shape)}, wanted {layout}")
        if not u.is_floating_point():
            raise ValueError(f"u: got {u.dtype}, wanted a floating-point tensor")
        x = u if self.transposed else u.transpose(1, 2)
        if self.strict_length and x.shape[2] > self.l_max:
            raise ValueError(
                f"u: got {x.shape[2]} positions with strict_length, wanted at most {self.l_max}"
            )
        return x

    def _lengths(self, lengths: Tensor | int | None, x: Tensor) -> Tensor | None:
        """(B,)."""
        if lengths is None:
            return None
        batch, _, length = x.shape
        if isinstance(lengths, int):
            lengths = torch.full((batch,), lengths)
        elif not isinstance(lengths, Tensor) or lengths.dtype not in (torch.int32, torch.int64):
            got = lengths.dtype if isinstance(lengths, Tensor) else type(lengths).__name__
            raise TypeError(f"lengths: got {got}, wanted an int, or an int64 or int32 tensor")
        if lengths.shape not in ((1,), (batch,)):
            raise ValueError(
                f"lengths: got shape {tuple(lengths.shape)}, wanted ({batch},) or (1,)"
            )
        check_length_values(lengths, length)
        return lengths.to(x.device).expand(batch)

    def _kernels(self) -> tuple[Tensor, Tensor | None]:
        """Taps that look back and taps that look ahead, (C, H, l_max)."""
        k = self.kernel()
        if self.bidirectional:
            return k[: self.channels], k[self.channels :]
        if self.mode == "circular2L":
            return k[..., : self.l_max], k[..., self.l_max :].flip(-1)
        return k, None

    def _convolve(self, x: Tensor, lengths: Tensor | None) -> Tensor:
        """(B, C, H, L), with the skip connection."""
        k, k_rev = self._kernels()
        if self.mode != "official" and not self.block_fft_conv:
            return long_conv(x, k, self.D, k_rev, lengths=lengths)
        if lengths is not None:
            time = torch.arange(x.shape[2], device=x.device)
            x = x.masked_fill(time >= lengths.view(-1, 1, 1), 0)
        length = x.shape[2]
        size = length + min(length, self.l_max)
        if self.mode == "official":
            if k_rev is not None:
                k = F.pad(k, (0, length)) + F.pad(k_rev.flip(-1), (length, 0))
        else:
            size = next_power_of_two(size)
            k = F.pad(k[..., :length], (0, size - min(length, self.l_max)))
            if k_rev is not None:
                k_rev = k_rev[..., :length]
                k = k + F.pad(k_rev.flip(-1), (size - k_rev.shape[-1], 0))
        y = self._by_spectra(x, k, size)
        return (y + self.D.unsqueeze(-1) * x.unsqueeze(1)).to(x.dtype)

    def _by_spectra(self, x: Tensor, k: Tensor, size: int) -> Tensor:
        """The circular convolution of ``size``: (B, C, H, L)."""
        if self.block_fft_conv:
            whole = next_power_of_two(size)
            spectrum = self.block_fft_u(x, whole).unsqueeze(1) * self.block_fft_k(k, whole)
            return torch.fft.ifft(spectrum, n=size).real[..., : x.shape[2]]
        x, k = (z.float() if z.dtype in HALF else z for z in (x, k))
        spectrum = torch.fft.rfft(x, n=size).unsqueeze(1) * torch.fft.rfft(k, n=size)
        return torch.fft.irfft(spectrum, n=size)[..., : x.shape[2]]

    def _mix(self, y: Tensor) -> Tensor:
        """(B, C, H, L) -> what forward returns."""
        y = y.flatten(1, 2)
        if not self.transposed:
            y = y.transpose(1, 2)
        return self.output_linear(self.dropout(self.activation(y)))

    def init_state(self, batch: int) -> ConvState:
        """The state before the first `step`; it keeps the kernel as it is now.

        Raises:
            ValueError: the layer looks ahead.
        """
        learned = self.block_fft_conv and self.block_fft_u.learn
        if self.bidirectional or self.mode != "linear" or learned:
            raise ValueError(
                "step: this layer looks ahead; wanted bidirectional=False, mode='linear' and no "
                "learned butterfly"
            )
        k, _ = self._kernels()
        return ConvState.start(k, batch)

    @torch.no_grad()
    def prefill(self, u: Tensor) -> tuple[Tensor, ConvState]:
        """`forward` of a prompt, and the state behind its last position."""
        x = self._inputs(u)
        state = self.init_state(x.shape[0])
        state.extend(x)
        return self(u)[0], state

    @torch.no_grad()
    def step(self, state: ConvState | None, u_t: Tensor) -> tuple[Tensor, ConvState]:
        """One time step in O(l_max) per channel, equal to that of `forward` in eval mode.

        Args:
            state: of `init_state`, `prefill` or the step before; None: the first step. It is
                changed in place.
            u_t: (B, H).

        Returns:
            (y_t, state), y_t: (B, H).

        Raises:
            ValueError: the layer looks ahead, u_t has another shape, or the position is beyond
                l_max with strict_length.
        """
        if state is None:
            state = self.init_state(u_t.shape[0])
        if self.strict_length and state.position >= self.l_max:
            raise ValueError(f"u_t: position {state.position} is beyond l_max = {self.l_max}")
        y = (state.step(u_t) + self.D * u_t.unsqueeze(1)).to(u_t.dtype)
        return self._mix(y.unsqueeze(-1)).flatten(1), state

    def extra_repr(self) -> str:
        return (
            f"{self.d_model}, l_max={self.l_max}, channels={self.channels}, "
            f"bidirectional={self.bidirectional}, transposed={self.transposed}, mode={self.mode!r}"
        )


def check_sizes(d_model: int, l_max: int | None) -> None:
    if not isinstance(d_model, int) or d_model < 1:
        raise ValueError(f"d_model: got {d_model}, wanted a whole number of at least 1")
    if not isinstance(l_max, int) or l_max < 1:
        raise ValueError(f"l_max: got {l_max}, wanted the number of taps, at least 1")


def _standalone_kernel(module: nn.Module, state: dict[str, Tensor], prefix: str, *_: Any) -> None:
    """The published standalone layer calls the taps ``kernel``; here they are a module's."""
    if f"{prefix}kernel" in state:
        state[f"{prefix}kernel.kernel"] = state.pop(f"{prefix}kernel")
