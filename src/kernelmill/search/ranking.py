"""The last word: the best few, the reference and torch.compile measured again side by side."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One line of the final table. ``ratio`` = reference time / this time; ``None``: unknown.

    ``label`` is ``eager``, ``torch.compile`` or ``winner``; ``name`` the candidate's own name;
    ``error`` the largest error against float64, relative to the output's largest magnitude.
    """

    label: str
    name: str
    node: int | None
    ms: float | None
    ratio: float | None
    interval: tuple[float, float] | None
    error: float | None
    remeasured: bool
