"""The report's figures as SVG: shares over speed-up, and correct ones by category."""

from __future__ import annotations

import math
from collections.abc import Sequence

from kernelmill.bench.report.tables import Line, in_order
from kernelmill.search.plots import Axis, line, mark, number, svg, text

HUES = 6
# Figures in files of their own have no page to take colours from.
STYLE = (
    "<style>text{font:12px system-ui,sans-serif;fill:#5c626e}.end{text-anchor:end}"
    ".mid{text-anchor:middle}.grid{stroke:#e3e1da}.level{stroke:#8b919c;stroke-dasharray:4 4}"
    ".curve{fill:none;stroke-width:2}"
    + "".join(
        f".hue{i}{{fill:{c}}}.curve.hue{i}{{fill:none;stroke:{c}}}"
        for i, c in enumerate(("#1f6fd6", "#d9622b", "#128f6b", "#8a54c9", "#b8860b", "#c2417e"))
    )
    + "</style>"
)


def speed_plot(lines: Sequence[Line]) -> str:
    """fast_p against p: which share is right and more than p times as fast."""
    width, height, left, right, top, bottom = 1060.0, 340.0, 52.0, 16.0, 14.0, 42.0
    best = [r.speedup for line_ in lines for r in line_.results if r.correct and r.speedup]
    low = min([0.5, *best]) / 1.1
    x = Axis(low, max([2.0, *best]) * 1.1, left, width - right, log=True)
    highest = max(line_.score.fast_p(0.0) for line_ in lines)
    y = Axis(0.0, min(1.0, max(1.2 * highest, 0.05)), height - bottom, top)
    body = []
    for tick in y.ticks(5):
        body.append(line(left, y(tick), width - right, y(tick), "grid"))
        body.append(text(left - 8, y(tick) + 4, "end", f"{100 * tick:g} %"))
    for tick in x.ticks(8):
        body.append(text(x(tick), height - bottom + 18, "mid", f"{number(tick)}×"))
    body.append(line(x(1.0), top, x(1.0), height - bottom, "level"))
    body.append(text((left + width - right) / 2, height - 4, "mid", "speed-up over the reference"))
    for i, line_ in enumerate(lines):
        places = sorted(
            {low, x.high, *(r.speedup for r in line_.results if r.correct and r.speedup)}
        )
        points = []
        share = line_.score.fast_p(0.0)
        for p in places:
            points.append((x(p), y(share)))
            share = line_.score.fast_p(p)
            points.append((x(p), y(share)))
        path = " ".join(f"{a:.1f},{b:.1f}" for a, b in points)
        body.append(f'<polyline points="{path}" class="curve hue{i % HUES}"/>')
    return svg(width, height, body, "share of right and faster candidates over the speed-up")


def category_plot(lines: Sequence[Line]) -> str:
    """Correct samples by category, a row for each."""
    parts = [line_.score.by_category() for line_ in lines]
    names = in_order({name for part in parts for name in part})
    left, right, top, step = 150.0, 24.0, 10.0, 24.0
    width, height = 1060.0, top + step * len(names) + 36.0
    x = Axis(0.0, 1.0, left, width - right)
    body = []
    for tick in x.ticks(5):
        body.append(line(x(tick), top, x(tick), height - 30, "grid"))
        body.append(text(x(tick), height - 12, "mid", f"{100 * tick:.0f} %"))
    for row, name in enumerate(names):
        middle = top + step * (row + 0.5)
        body.append(text(left - 10, middle + 4, "end", name))
        for i, (line_, part) in enumerate(zip(lines, parts, strict=True)):
            if name not in part:
                continue
            share = part[name].pass_at(1)
            shift = (i - (len(lines) - 1) / 2) * min(4.0, 12 / max(len(lines), 1))
            tip = f"{line_.name}, {name}: {100 * share:.1f} % of {len(part[name].tasks)} tasks"
            body.append(mark("circle", x(share), middle + shift, 4.5, f"hue{i % HUES}", tip))
    return svg(width, math.ceil(height), body, "correct by category")


def standalone(figure: str) -> str:
    """A figure for a file of its own."""
    head, rest = figure.split(">", 1)
    return f"{head}>{STYLE}{rest}\n"
