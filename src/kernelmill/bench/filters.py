"""Filters for weak tasks: does the output say anything about the inputs and the weights?"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

THRESHOLD = 0.01
PIECES = 16


def upstream_flags(
    outputs: torch.Tensor, same_model: torch.Tensor, threshold: float = THRESHOLD
) -> tuple[str, ...]:
    """robust-kbench's numeric filters, with their absolute thresholds.

    ``range``: all values in (-t, t); ``std``: the deviation over seeds is below t everywhere;
    ``axes``: along some axis (that of the seeds is one) all deviations are below t;
    ``input``: as ``std``, with one model and only the inputs drawn anew. Deviations are
    those of a sample: along an axis of size 1 they are NaN, which is never below t.

    Args:
        outputs: (seeds, ...): inputs and model drawn anew for each seed.
        same_model: (seeds, ...): only the inputs drawn anew.

    Raises:
        ValueError: fewer than two seeds.

    Example:
        >>> import torch
        >>> upstream_flags(torch.ones(3, 4, 4), torch.ones(3, 4, 4))
        ('std', 'axes', 'input')
    """
    for name, value in (("outputs", outputs), ("same_model", same_model)):
        if value.ndim == 0 or value.shape[0] < 2:
            raise ValueError(f"{name}: want at least 2 seeds, got shape {tuple(value.shape)}")

    def still(values: torch.Tensor, axis: int) -> bool:
        if values.shape[axis] == 1:
            return False
        # Piece by piece: most are refuted by the first one, and doubles take memory.
        values = values.movedim(axis, 0)
        pieces = values.chunk(PIECES, 1) if values.ndim > 1 else (values,)
        return all(bool((piece.double().std(0) < threshold).all()) for piece in pieces)

    flags = {
        "range": bool((outputs.abs() < threshold).all()),
        "std": still(outputs, 0),
        "axes": any(still(outputs, axis) for axis in range(outputs.ndim)),
        "input": still(same_model, 0),
    }
    return tuple(name for name, caught in flags.items() if caught)
