"""Merging attention over disjoint sets of keys by the log of their denominators."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from kernelmill.ops.neighborhood.arguments import check_tensor
from kernelmill.ops.numerics import sum_dtype


def merge_attentions(
    outputs: Sequence[Tensor], lse_tensors: Sequence[Tensor], **hints
) -> tuple[Tensor, Tensor]:
    r"""One attention from partial ones of the same queries over disjoint keys.

    ``lse = log sum_i exp(lse_i)``, ``out = sum_i exp(lse_i - lse) out_i``

    Pair by pair with sigmoids, so that differences of any size are safe; differentiable, also with
    respect to the ``lse_tensors``.

    Args:
        outputs: two or more tensors (B, .., H, D).
        lse_tensors: as many (B, .., H), natural logarithms.
        hints: ``torch_compile`` and ``use_autograd_fix`` of NATTEN, accepted without effect.

    Returns:
        (out, lse): dtype of the outputs; float32 (float64 for float64).

    Raises:
        TypeError: a dtype is not accepted, or an argument is unknown.
        ValueError: counts or shapes do not fit.

    Source: Faster Neighborhood Attention (arXiv 2403.04690); NATTEN's function of this name.

    Example:
        >>> out, lse = merge_attentions([torch.zeros(1, 2, 1, 1), torch.ones(1, 2, 1, 1)],
        ...                             [torch.zeros(1, 2, 1), torch.zeros(1, 2, 1)])
        >>> out.flatten(), lse.flatten()
        (tensor([0.5000, 0.5000]), tensor([0.6931, 0.6931]))
    """
    unknown = set(hints) - {"torch_compile", "use_autograd_fix"}
    if unknown:
        raise TypeError(f"unexpected argument {sorted(unknown)[0]!r}")
    if len(outputs) < 2 or len(outputs) != len(lse_tensors):
        raise ValueError(
            f"outputs, lse_tensors: got {len(outputs)} and {len(lse_tensors)}, wanted at least two "
            "and as many of one as of the other"
        )
    first = outputs[0]
    for i, (out, lse) in enumerate(zip(outputs, lse_tensors, strict=True)):
        check_tensor(f"outputs[{i}]", out)
        check_tensor(f"lse_tensors[{i}]", lse)
        if out.shape != first.shape or out.dtype != first.dtype:
            raise ValueError(
                f"outputs[{i}]: got {out.dtype} {tuple(out.shape)}, wanted {first.dtype} "
                f"{tuple(first.shape)} as of outputs[0]"
            )
        if lse.shape != first.shape[:-1]:
            raise ValueError(
                f"lse_tensors[{i}]: got shape {tuple(lse.shape)}, wanted {tuple(first.shape[:-1])}"
            )
    wide = sum_dtype(first.dtype)
    out, lse = first.to(wide), lse_tensors[0].to(wide)
    for other, other_lse in zip(outputs[1:], lse_tensors[1:], strict=True):
        other_lse = other_lse.to(wide)
        share = torch.sigmoid(other_lse - lse).unsqueeze(-1)
        out = out + share * (other.to(wide) - out)
        lse = lse - functional.logsigmoid(lse - other_lse)
    return out.to(first.dtype), lse
