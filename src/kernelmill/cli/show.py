"""Printing: tables and numbers as people read them."""

from __future__ import annotations

import json
import sys
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from kernelmill.search.records import plain


def console() -> Console:
    made = Console(highlight=False, soft_wrap=True)
    if not made.is_terminal:  # into a file or a pipe: nothing is to be cut at 80 columns
        made.width = 200
    return made


def print_json(value: Any) -> None:
    """JSON on standard output."""
    json.dump(plain(value), sys.stdout, indent=2, default=str)
    sys.stdout.write("\n")


def milliseconds(value: float | None) -> str:
    """Three significant digits and a unit.

    Example:
        >>> milliseconds(0.01234), milliseconds(12.34), milliseconds(12345.0), milliseconds(None)
        ('12.3 us', '12.3 ms', '12.3 s', '-')
    """
    if value is None:
        return "-"
    if value >= 1000:
        return f"{value / 1000:.3g} s"
    return f"{value:.3g} ms" if value >= 0.1 else f"{value * 1000:.3g} us"


def ratio(value: float | None, interval: tuple[float, float] | None = None) -> str:
    """
    Example:
        >>> ratio(1.5, (1.4, 1.62)), ratio(None)
        ('1.50x (1.40-1.62)', '-')
    """
    if value is None:
        return "-"
    text = f"{value:.2f}x"
    return f"{text} ({interval[0]:.2f}-{interval[1]:.2f})" if interval else text


def error(value: float | None) -> str:
    return "-" if value is None else f"{value:.1e}"


def table(*columns: str, right: tuple[int, ...] = ()) -> Table:
    made = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for number, column in enumerate(columns):
        justify = "right" if number in right else "left"
        made.add_column(column, justify=justify, overflow="fold")
    return made


def results(rows: Any) -> Table:
    """The final table of a search: one line for eager, torch.compile and the winner."""
    made = table("", "candidate", "time", "speed-up (95 %)", "error", right=(2, 3, 4))
    for row in rows:
        made.add_row(
            Text(row.label, style="bold green" if row.label == "winner" else ""),
            Text(row.name),
            milliseconds(row.ms),
            ratio(row.ratio, row.interval),
            error(row.error),
        )
    return made
