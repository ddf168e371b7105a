"""The Fourier transform by blocks as a layer, with matrices that may be learned."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kernelmill.nn.long_conv_kernel import check_share
from kernelmill.nn.optim_module import OptimModule
from kernelmill.ops.long_conv.butterfly import HALF, butterfly_fft, dft_matrix
from kernelmill.ops.numerics import sum_dtype


class ButterflyFFT(OptimModule):
    r"""Fourier transform by blocks whose matrices of size 2, 4, ..., max_m are learned.

    ``F_N = P (I x F_m) P^T D (I x F_n) P``, N = m n, m = max_m, F_n again so while n > max_m; the
    one matrix of size max_m serves all levels.

    Args:
        learn: whether the matrices are parameters; otherwise this is `torch.fft.fft`.
        heads: H, a set of matrices for each head, or 1: one for all.
        additive: learn the difference to the Fourier matrices (first values 0.01 N(0, 1)).
        max_m: largest matrix, a power of two.
        dropout: of the matrices' entries, in training.
        learning_rate: kept for `kernelmill.training.param_groups`, with weight decay 0.
        device, dtype: of the parameters.

    Shapes:
        x: (..., L) real or complex; with ``heads`` > 1 (..., heads, L) -> (..., N) complex, N the
        power of two from ``n`` (default L) on. State: ``mat_m`` (heads, m, m, 2), real and
        imaginary parts.

    Raises:
        ValueError: heads, max_m, dropout or learning_rate is out of range; in forward: x has
            other heads.

    Source: arXiv 2302.06646, section 4. Checkpoints of the published ``BlockFFT`` load. Unlike
    there ``max_m`` counts, N may be at most ``max_m``, any n works on any device, and `inverse`
    knows the size that n was rounded up to.

    Example:
        >>> import torch
        >>> from kernelmill.nn import ButterflyFFT
        >>> fft = ButterflyFFT(heads=3)
        >>> fft(torch.randn(2, 3, 100)).shape
        torch.Size([2, 3, 128])
    """

    def __init__(
        self,
        learn: bool = True,
        heads: int = 1,
        additive: bool = False,
        max_m: int = 16,
        dropout: float = 0.0,
        learning_rate: float = 0.001,
        device: Any = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        if max_m < 2 or max_m & (max_m - 1):
            raise ValueError(f"max_m: got {max_m}, wanted a power of two of at least 2")
        if heads < 1:
            raise ValueError(f"heads: got {heads}, wanted at least 1")
        check_share("dropout", dropout)
        if not learning_rate > 0:
            raise ValueError(f"learning_rate: got {learning_rate}, wanted a number above 0")
        self.learn, self.heads, self.additive = learn, heads, additive
        self.max_m, self.dropout = max_m, dropout
        self.sizes = tuple(2**i for i in range(1, max_m.bit_length())) if learn else ()
        for m in self.sizes:
            matrix = torch.empty(heads, m, m, 2, device=device, dtype=dtype)
            setattr(self, f"mat_{m}", nn.Parameter(matrix))
            self.set_optim_options(f"mat_{m}", lr=learning_rate, weight_decay=0.0)
        self.reset_parameters()
        self.register_load_state_dict_pre_hook(_drop_second_names)

    def reset_parameters(self) -> None:
        """The Fourier matrices, or small differences to them."""
        for m in self.sizes:
            matrix = getattr(self, f"mat_{m}")
            with torch.no_grad():
                if self.additive:
                    matrix.normal_(0, 0.01)
                else:
                    matrix.copy_(torch.view_as_real(dft_matrix(m, torch.complex128)))

    def matrix(self, m: int) -> Tensor:
        """The matrix of size m that the transform uses: (heads, m, m), complex."""
        real = getattr(self, f"mat_{m}")
        real = F.dropout(real.float() if real.dtype in HALF else real, self.dropout, self.training)
        matrix = torch.view_as_complex(real.contiguous())
        return matrix + dft_matrix(m, matrix.dtype, matrix.device) if self.additive else matrix

    def forward(self, x: Tensor, n: int | None = None) -> Tensor:
        if not self.learn:
            return butterfly_fft(x, n, max_m=self.max_m)
        if self.heads > 1 and (x.dim() < 2 or x.shape[-2] != self.heads):
            raise ValueError(f"x: got shape {tuple(x.shape)}, wanted (..., {self.heads}, L)")
        flat = x.unsqueeze(-2) if x.dim() == 1 else x
        held = sum_dtype(self.mat_2.dtype)
        dtype = torch.promote_types(torch.promote_types(x.dtype, held), torch.complex64)
        y = butterfly_fft(flat.to(dtype), n, lambda m: self.matrix(m).to(dtype), self.max_m)
        return y.squeeze(-2) if x.dim() == 1 else y

    def inverse(self, x: Tensor) -> Tensor:
        """``conj(forward(conj(x))) / N``: the inverse, as long as the matrices are Fourier's.

        Args:
            x: (..., N), N a power of two.
        """
        if x.shape[-1] & (x.shape[-1] - 1):
            raise ValueError(f"x: got shape {tuple(x.shape)}, wanted (..., N), N a power of two")
        return self(x.conj()).conj() / x.shape[-1]

    def extra_repr(self) -> str:
        return (
            f"learn={self.learn}, heads={self.heads}, additive={self.additive}, "
            f"max_m={self.max_m}, dropout={self.dropout}"
        )


def _drop_second_names(module: nn.Module, state: dict[str, Tensor], prefix: str, *_: Any) -> None:
    """Published checkpoints hold every matrix twice: as mat_m and as dft_matrices.i."""
    for key in [key for key in state if key.startswith(f"{prefix}dft_matrices.")]:
        del state[key]
