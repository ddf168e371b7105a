"""The choices that do not change what is computed: a flat record with a neighbourhood."""

from __future__ import annotations

import random
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

CHOICES: dict[str, tuple[Any, ...]] = {
    "tile": (16, 32, 64, 128, 256, 1024, 4096),
    "tile_bytes": (16384, 65536, 131072, 524288),
    "lanes": (16, 32, 64, 128),
    "spill_bytes": (0, 32768, 262144, 1048576),
    "accumulate": ("blocked", "double"),
    "fuse": (True, False),
    "channels_last": (False, True),
    "gemm": ("onednn", "torch"),
    "own_depthwise": (True, False),
    "huge_pages": (True, False),
    "native_width": (True, False),
}


@dataclass(frozen=True)
class Schedule:
    """How the kernels of one candidate run.

    Args:
        tile: most elements of the vector axis that one parallel step takes, where that axis is
            itself parallel (reductions over an outer axis, plain element-wise work).
        tile_bytes: bytes of local results and inputs that one such step may hold.
        lanes: independent partial results of a reduction along the vector axis.
        spill_bytes: largest local array in which a costly intermediate is kept for the next pass
            over it (0: always recompute).
        accumulate: float32 sums in lanes folded into float64 every few thousand terms
            (``blocked``), or float64 throughout (``double``).
        fuse: one kernel may hold several reductions; ``False``: each gets its own.
        channels_last: convolutions see their input in that layout.
        gemm: matrix products and convolutions through oneDNN, or whatever torch takes.
        own_depthwise: depthwise convolutions are generated too.
        huge_pages: ask the kernel for large pages under large outputs.
        native_width: 512-bit vectors where the processor has them.
    """

    tile: int = 4096
    tile_bytes: int = 131072
    lanes: int = 64
    spill_bytes: int = 262144
    accumulate: str = "blocked"
    fuse: bool = True
    channels_last: bool = False
    gemm: str = "onednn"
    own_depthwise: bool = True
    huge_pages: bool = True
    native_width: bool = True

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Schedule:
        """Unknown keys are dropped: provenance may come from another version."""
        known = {f.name for f in fields(cls)}
        return cls(**{k: v for k, v in data.items() if k in known})

    def mutate(self, rng: random.Random, steps: int = 1) -> Schedule:
        """A neighbour: ``steps`` fields set to another of their choices."""
        result = self
        for name in rng.sample(sorted(CHOICES), steps):
            others = [c for c in CHOICES[name] if c != getattr(result, name)]
            result = replace(result, **{name: rng.choice(others)})
        return result

    def flags(self) -> list[str]:
        """Compiler flags. NaN and infinities keep their meaning; products are rounded before they
        are added, so that a * b - a * b is 0; partial redundancy elimination is off because it
        turns selects into branches, which then do not vectorise."""
        flags = ["-fno-math-errno", "-fno-trapping-math", "-ffp-contract=off", "-fno-tree-pre"]
        if self.native_width:
            flags.append("-mprefer-vector-width=512")
        return flags
