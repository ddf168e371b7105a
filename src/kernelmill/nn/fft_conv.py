"""`FFTConv`: called like FlashFFTConv, on any device and for any length."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kernelmill.ops.long_conv import long_conv


class FFTConv(nn.Module):
    r"""Gated convolution by FFT of a given size: call-compatible with ``FlashFFTConv``.

    ``y = out_gate * ifft(fft(in_gate * u, N) fft(k, N))[:L]``

    With N >= 2 L (or N >= L + taps - 1) that is the causal linear convolution; with a smaller N
    the end of the input wraps around onto its beginning, as it does there.

    Args:
        seqlen: N, the size of the FFT; any, not only powers of two from 256 on.
        dtype: that of the inputs; also float32 and float64.

    Shapes:
        u, in_gate, out_gate: (B, H, L), L <= N; k: (H, taps), float32 or dtype, taps <= N ->
        (B, H, L). No state.

    Raises:
        TypeError: u is not of ``dtype``. ValueError: a size does not fit.

    Source: FlashFFTConv, arXiv 2311.05908.

    Example:
        >>> import torch
        >>> from kernelmill.nn import FFTConv
        >>> conv = FFTConv(2 * 100, dtype=torch.bfloat16)
        >>> u, k = torch.randn(2, 4, 100, dtype=torch.bfloat16), torch.randn(4, 100)
        >>> conv(u, k, torch.ones_like(u), torch.ones_like(u)).shape
        torch.Size([2, 4, 100])
    """

    def __init__(self, seqlen: int, dtype: torch.dtype = torch.float16) -> None:
        super().__init__()
        if not isinstance(seqlen, int) or seqlen < 1:
            raise ValueError(f"seqlen: got {seqlen}, wanted the size of the FFT, at least 1")
        if not isinstance(dtype, torch.dtype) or not dtype.is_floating_point:
            raise ValueError(f"dtype: got {dtype}, wanted a floating-point dtype")
        self.seqlen, self.dtype = seqlen, dtype

    def forward(
        self,
        u: Tensor,
        k: Tensor,
        in_gate: Tensor | None = None,
        out_gate: Tensor | None = None,
    ) -> Tensor:
        if u.dtype != self.dtype:
            raise TypeError(f"u: got {u.dtype}, wanted {self.dtype}")
        size = self.seqlen
        for name, value in (("u", u), ("k", k)):
            if value.dim() == 0 or value.shape[-1] > size:
                raise ValueError(
                    f"{name}: got shape {tuple(value.shape)}, wanted at most {size} in the last "
                    "dimension: seqlen"
                )
        around = None
        if u.shape[-1] + k.shape[-1] > size + 1:  # tap N - i reaches i positions ahead
            around = F.pad(k, (0, size - k.shape[-1])).flip(-1)
        return long_conv(u, k, k_rev=around, in_gate=in_gate, out_gate=out_gate)

    def extra_repr(self) -> str:
        return f"{self.seqlen}, dtype={self.dtype}"
