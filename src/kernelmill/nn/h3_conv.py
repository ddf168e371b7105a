"""H3 with long kernels in place of the state spaces."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from kernelmill.nn.conv_state import ConvState
from kernelmill.nn.long_conv import check_sizes
from kernelmill.nn.long_conv_kernel import LongConvKernel
from kernelmill.ops.long_conv import long_conv
from kernelmill.ops.long_conv.butterfly import HALF


class H3Conv(nn.Module):
    r"""Two long convolutions and two products: a causal layer that can compare tokens.

    ``q, k, v = W_q u, W_k u, W_v u``; ``k' = conv(k, kernel_k) + k_D k``;
    ``y = W_o (q (conv(k' v, kernel) + D k' v))``

    Args:
        d_model: d. l_max: taps of both kernels.
        mode: ``"linear"``, or ``"official"``: the published layer to the letter, whose outputs
            depend on later inputs while L < l_max.
        kernel_args: of `LongConvKernel`.
        device, dtype: of the parameters.

    Shapes:
        u: (B, L, d) -> (B, L, d). State, as in published checkpoints: ``q_proj``, ``k_proj``,
        ``v_proj``, ``output_linear``; ``k_kernel.kernel`` and ``kernel.kernel`` (1, d, l_max);
        ``k_D`` and ``D`` (d,).

    Raises:
        ValueError: an argument is out of range; in forward: u has another shape.

    Source: arXiv 2302.06646, section 5, after Hungry Hungry Hippos, arXiv 2212.14052. Heads of
    dimension 1 only: the published code for larger ones does not fit its own kernels.

    Example:
        >>> import torch
        >>> from kernelmill.nn import H3Conv
        >>> H3Conv(16, l_max=64)(torch.randn(2, 50, 16)).shape
        torch.Size([2, 50, 16])
    """

    def __init__(
        self,
        d_model: int,
        l_max: int,
        mode: str = "linear",
        device: Any = None,
        dtype: torch.dtype | None = None,
        **kernel_args: Any,
    ) -> None:
        super().__init__()
        check_sizes(d_model, l_max)
        if mode not in ("linear", "official"):
            raise ValueError(f"mode: got {mode!r}, wanted 'linear' or 'official'")
        for name in ("channels", "causal"):
            if name in kernel_args:
                raise ValueError(f"{name}: H3Conv sets it; got {kernel_args[name]}")
        where = {"device": device, "dtype": dtype}
        self.d_model, self.l_max, self.mode = d_model, l_max, mode
        self.q_proj = nn.Linear(d_model, d_model, **where)
        self.k_proj = nn.Linear(d_model, d_model, **where)
        self.v_proj = nn.Linear(d_model, d_model, **where)
        self.k_kernel = LongConvKernel(d_model, l_max, **where, **kernel_args)
        self.k_D = nn.Parameter(torch.empty(d_model, **where))
        self.kernel = LongConvKernel(d_model, l_max, **where, **kernel_args)
        self.D = nn.Parameter(torch.empty(d_model, **where))
        self.output_linear = nn.Linear(d_model, d_model, **where)
        nn.init.normal_(self.k_D)
        nn.init.normal_(self.D)

    def reset_parameters(self) -> None:
        """Draw everything anew."""
        nn.init.normal_(self.k_D)
        nn.init.normal_(self.D)
        for module in self.children():
            module.reset_parameters()

    def forward(self, u: Tensor) -> Tensor:
        return self.output_linear(self._mix(u)[0])

    def _mix(self, u: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What goes into the last linear, and the inputs of both convolutions (B, d, L)."""
        if u.dim() != 3 or u.shape[2] != self.d_model:
            raise ValueError(f"u: got shape {tuple(u.shape)}, wanted (B, L, {self.d_model})")
        q, k, v = (p(u).transpose(1, 2) for p in (self.q_proj, self.k_proj, self.v_proj))
        if self.mode == "official":
            kv = (_wrapped(k, self.k_kernel()[0]) + self.k_D.unsqueeze(-1) * k) * v
            y = q * (_wrapped(kv, self.kernel()[0]) + self.D.unsqueeze(-1) * kv)
            y = y.to(q.dtype)
        else:
            shifted = long_conv(k, self.k_kernel()[0], self.k_D)
            y = long_conv(shifted, self.kernel()[0], self.D, in_gate=v, out_gate=q)
            kv = shifted * v
        return y.transpose(1, 2), k, kv

    def init_state(self, batch: int) -> tuple[ConvState, ConvState]:
        """The state before the first `step`; it keeps the kernels as they are now.

        Raises:
            ValueError: mode is ``"official"``.
        """
        if self.mode != "linear":
            raise ValueError("step: wanted mode='linear'; the published layer looks ahead")
        kernels = (self.k_kernel(), self.kernel())
        return tuple(ConvState.start(kernel, batch) for kernel in kernels)

    @torch.no_grad()
    def prefill(self, u: Tensor) -> tuple[Tensor, tuple[ConvState, ConvState]]:
        """`forward` of a prompt, and the state behind its last position."""
        states = self.init_state(u.shape[0])
        y, *inputs = self._mix(u)
        for state, x in zip(states, inputs, strict=True):
            state.extend(x)
        return self.output_linear(y), states

    @torch.no_grad()
    def step(
        self, state: tuple[ConvState, ConvState] | None, u_t: Tensor
    ) -> tuple[Tensor, tuple[ConvState, ConvState]]:
        """One time step in O(l_max) per channel, equal to that of `forward` in eval mode.

        Args:
            state: of `init_state`, `prefill` or the step before, changed in place; None: the
                first step.
            u_t: (B, d).

        Returns:
            (y_t, state), y_t: (B, d).

        Raises:
            ValueError: mode is ``"official"``, or u_t has another shape.
        """
        if state is None:
            state = self.init_state(u_t.shape[0])
        q, k, v = self.q_proj(u_t), self.k_proj(u_t), self.v_proj(u_t)
        kv = (state[0].step(k)[:, 0] + self.k_D * k).to(k.dtype) * v
        y = q * (state[1].step(kv)[:, 0] + self.D * kv).to(q.dtype)
        return self.output_linear(y), state

    def extra_repr(self) -> str:
        return f"{self.d_model}, l_max={self.l_max}, mode={self.mode!r}"


def _wrapped(x: Tensor, k: Tensor) -> Tensor:
    """As published: a circular convolution of twice the input's length with all taps."""
    size = 2 * x.shape[2]
    x, k = (z.float() if z.dtype in HALF else z for z in (x, k))
    y = torch.fft.irfft(torch.fft.rfft(x, n=size) * torch.fft.rfft(k, n=size), n=size)
    return y[..., : size // 2]
