"""Draws docs/ops/figures/neighborhood_windows.svg: which keys each query of one axis attends.

Run from the root: ``python tools/neighborhood_figure.py``. The cells come from `neighborhood_mask`.
"""

from __future__ import annotations

from pathlib import Path

import torch

from kernelmill.ops.neighborhood import neighborhood_mask

TARGET = Path(__file__).parents[1] / "docs" / "ops" / "figures" / "neighborhood_windows.svg"
LENGTH = 14
PANELS = (
    ("sliding", dict(kernel_size=5)),
    ("even", dict(kernel_size=4)),
    ("strided", dict(kernel_size=6, stride=3)),
    ("blocked", dict(kernel_size=4, stride=4)),
    ("dilated", dict(kernel_size=4, dilation=3)),
    ("causal", dict(kernel_size=5, is_causal=True)),
    ("causal, strided", dict(kernel_size=6, stride=3, is_causal=True)),
    ("causal, dilated", dict(kernel_size=4, dilation=3, is_causal=True)),
)
COLUMNS, CELL, GAP, HEAD = 4, 12, 34, 40
SHORT = {"kernel_size": "k", "stride": "s", "dilation": "d"}


def panel(left: int, top: int, name: str, fields: dict) -> list[str]:
    mask = neighborhood_mask(LENGTH, **fields)
    label = ", ".join(f"{SHORT[k]} = {v}" for k, v in fields.items() if k in SHORT)
    lines = [
        f'<text x="{left}" y="{top - 18}" class="name">{name}</text>',
        f'<text x="{left}" y="{top - 5}">{label}</text>',
    ]
    eye = torch.eye(LENGTH, dtype=torch.bool)
    for kind, cells in (("key", mask & ~eye), ("own", mask & eye)):
        outline = "".join(
            f"M{left + key * CELL} {top + query * CELL}h{CELL}v{CELL}h-{CELL}z"
            for query, key in torch.nonzero(cells).tolist()
        )
        lines.append(f'<path class="{kind}" d="{outline}"/>')
    size = LENGTH * CELL
    grid = "".join(
        f"M{left + i * CELL} {top}v{size}M{left} {top + i * CELL}h{size}" for i in range(LENGTH + 1)
    )
    lines.append(f'<path class="grid" d="{grid}"/>')
    return lines


def main() -> None:
    size = LENGTH * CELL
    rows = -(-len(PANELS) // COLUMNS)
    width, height = GAP + COLUMNS * (size + GAP), rows * (size + GAP + HEAD) + 8
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img">',
        "<title>Windows of neighborhood attention on one axis</title>",
        f"<desc>Grids of {LENGTH} x {LENGTH} cells: a row is a query, its filled cells are the "
        "keys that it attends, the dark one is its own position.</desc>",
        "<style>text{font:11px sans-serif;fill:#333}.name{font-weight:bold;font-size:12px}"
        ".key{fill:#8fb8de}.own{fill:#1f4e79}.grid{stroke:#bbb;stroke-width:.6}"
        ".axis{fill:#777}</style>",
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
    ]
    for i, (name, fields) in enumerate(PANELS):
        left = GAP + i % COLUMNS * (size + GAP)
        top = HEAD + i // COLUMNS * (size + GAP + HEAD)
        lines += panel(left, top, name, fields)
        if i % COLUMNS == 0:
            x, y = left - 9, top + size // 2
            lines.append(
                f'<text x="{x}" y="{y}" transform="rotate(-90 {x} {y})" class="axis" '
                'text-anchor="middle">query</text>'
            )
        x, y = left + size // 2, top + size + 14
        lines.append(f'<text x="{x}" y="{y}" class="axis" text-anchor="middle">key</text>')
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    TARGET.write_text("\n".join([*lines, "</svg>"]) + "\n")
    print(TARGET)


if __name__ == "__main__":
    main()
