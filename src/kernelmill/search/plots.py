"""The report's figures as SVG text. Colours come from the page's style sheet, by class."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

SHAPES = {"accept": "circle", "reject": "cross", "error": "triangle"}


@dataclass(frozen=True)
class Axis:
    """Maps values to pixels, linearly or by logarithm."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        low, high = self.low, self.high
        if self.log:
            value, low, high = (math.log10(max(v, 1e-300)) for v in (value, low, high))
        span = (high - low) or 1.0
        return self.start + (value - low) / span * (self.end - self.start)

    def ticks(self, count: int = 5) -> list[float]:
        if self.log:
            first, last = math.ceil(math.log10(self.low)), math.floor(math.log10(self.high))
            step = max(1, (last - first) // count + 1) if last > first else 1
            found = [10.0**e for e in range(first, last + 1, step)]
            if len(found) > 2:
                return found
            marks = (m * 10.0**e for e in range(first - 1, last + 1) for m in (1, 2, 5))
            return [m for m in marks if self.low <= m <= self.high]
        rough = (self.high - self.low) / max(count, 1) or 1.0
        power = 10 ** math.floor(math.log10(rough))
        step = next(m * power for m in (1, 2, 5, 10) if m * power >= rough)
        first = math.ceil(self.low / step - 1e-9)
        last = math.floor(self.high / step + 1e-9)
        return [i * step for i in range(first, last + 1)]


def number(value: float) -> str:
    """A short number for an axis.

    Example:
        >>> number(0.5), number(2.0), number(1e-07)
        ('0.5', '2', '1e-07')
    """
    return f"{value:.3g}"


def mark(shape: str, x: float, y: float, size: float, classes: str, title: str = "") -> str:
    """A circle, cross or triangle with a tooltip."""
    hint = f"<title>{escape(title)}</title>" if title else ""
    if shape == "circle":
        body = f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{size:.1f}" class="{classes}">{hint}</circle>'
    elif shape == "cross":
        s = size * 0.75
        w = 2 * s
        path = f"M{x - s:.1f} {y - s:.1f}l{w:.1f} {w:.1f}m{-w:.1f} 0l{w:.1f} {-w:.1f}"
        body = f'<path d="{path}" class="stroke {classes}">{hint}</path>'
    else:
        s = size
        path = f"M{x:.1f} {y - s:.1f}l{s:.1f} {1.7 * s:.1f}h{-2 * s:.1f}z"
        body = f'<path d="{path}" class="{classes}">{hint}</path>'
    return body


def text(x: float, y: float, classes: str, words: str) -> str:
    """A label; ``end`` and ``mid`` among the classes align it."""
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{classes}">{escape(words)}</text>'


def line(x0: float, y0: float, x1: float, y1: float, classes: str) -> str:
    """A straight one."""
    return f'<line x1="{x0:.1f}" y1="{y0:.1f}" x2="{x1:.1f}" y2="{y1:.1f}" class="{classes}"/>'


def _ring(x: float, y: float, radius: float) -> str:
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius}" class="ring"/>'


def svg(width: float, height: float, body: Sequence[str], label: str, fixed: bool = False) -> str:
    """The figure of its parts; ``fixed``: not as wide as the page."""
    size = f' width="{width:.0f}" height="{height:.0f}"' if fixed else ""
    head = f'<svg viewBox="0 0 {width:.0f} {height:.0f}"{size} role="img" '
    head += f'aria-label="{escape(label)}" xmlns="http://www.w3.org/2000/svg">'
    return head + "".join(body) + "</svg>"


def progress_plot(
    nodes: Sequence[dict[str, Any]],
    colours: dict[str, int],
    compile_ratio: float | None,
    winner: int,
    seconds: float,
) -> str:
    """Speed-up of every candidate over the run's time, and the best so far."""
    width, height, left, right, top, bottom = 1060.0, 340.0, 46.0, 92.0, 14.0, 42.0
    ratios = [n["fitness"] for n in nodes if n["fitness"] > 0] + [1.0, compile_ratio or 1.0]
    log = max(ratios) / max(min(ratios), 1e-3) > 12
    low = min(ratios) / 1.3 if log else 0.0
    y = Axis(low, max(ratios) * (1.25 if log else 1.1), height - bottom, top, log)
    last = max([seconds, *(n["elapsed"] for n in nodes)], default=1.0) or 1.0
    x = Axis(0.0, last, left, width - right)
    body = []
    for tick in y.ticks(5):
        body.append(line(left, y(tick), width - right, y(tick), "grid"))
        body.append(text(left - 8, y(tick) + 4, "end", f"{number(tick)}×"))
    for tick in x.ticks(6):
        body.append(text(x(tick), height - bottom + 18, "mid", number(tick)))
    body.append(text((left + width - right) / 2, height - 4, "mid", "seconds of search"))
    levels = [(1.0, "eager")]
    if compile_ratio is not None:
        levels.append((compile_ratio, "torch.compile"))
    places: list[float] = []
    for level, name in levels:
        body.append(line(left, y(level), width - right, y(level), "level"))
        at = y(level) + 4
        if places and abs(at - places[0]) < 13:  # the two labels would run into each other
            at = places[0] + (13 if at > places[0] else -13)
        places.append(at)
        body.append(text(width - right + 6, at, "", name))
    best, points = 1.0, [(x(0.0), y(1.0))]
    for n in sorted(nodes, key=lambda n: n["elapsed"]):
        if n["fitness"] > best:
            points.append((x(n["elapsed"]), y(best)))
            best = n["fitness"]
            points.append((x(n["elapsed"]), y(best)))
    points.append((x(last), y(best)))
    path = " ".join(f"{px:.1f},{py:.1f}" for px, py in points)
    body.append(f'<polyline points="{path}" class="best"/>')
    for n in nodes:
        hue = colours.get(n["proposer"], 0)
        shape = SHAPES.get(n["status"], "cross")
        py = y(n["fitness"]) if n["fitness"] > 0 else height - bottom - 5
        tip = f"#{n['id']} {n['name']}: " + (
            f"{n['fitness']:.2f}×" if n["fitness"] > 0 else _why(n)
        )
        if n["fitness"] > 0:
            body.append(mark("circle", x(n["elapsed"]), py, 4.5, f"hue{hue}", tip))
        else:
            body.append(mark(shape, x(n["elapsed"]), py, 3.6, n["status"], tip))
        if n["id"] == winner:
            body.append(_ring(x(n["elapsed"]), py, 8.5))
    return svg(width, height, body, "speed-up over the reference during the search")


def _why(node: dict[str, Any]) -> str:
    if node["reasons"]:
        return f"{node['status']}: {node['reasons'][0]['message']}"
    return node["status"]


def layout(nodes: Sequence[dict[str, Any]]) -> dict[int, tuple[float, int]]:
    """(row, depth) of a tree that grows to the right; parents sit in the middle of their
    children.

    Example:
        >>> tree = [{"id": 0, "parents": []}, {"id": 1, "parents": [0]}, {"id": 2, "parents": [0]}]
        >>> layout(tree)[0]
        (0.5, 0)
    """
    children: dict[int, list[int]] = {n["id"]: [] for n in nodes}
    depth: dict[int, int] = {}
    for n in nodes:
        parent = n["parents"][0] if n["parents"] else None
        depth[n["id"]] = 0 if parent is None else depth[parent] + 1
        if parent is not None:
            children[parent].append(n["id"])
    rows: dict[int, float] = {}
    leaf = 0
    for n in reversed(_preorder(children, nodes[0]["id"]) if nodes else []):
        below = children[n]
        if below:
            rows[n] = (rows[below[0]] + rows[below[-1]]) / 2
        else:
            rows[n] = leaf
            leaf += 1
    return {n: (leaf - 1 - row, depth[n]) for n, row in rows.items()}


def _preorder(children: dict[int, list[int]], root: int) -> list[int]:
    order, todo = [], [root]
    while todo:
        order.append(todo.pop())
        todo.extend(reversed(children[order[-1]]))
    return order


def graph_plot(nodes: Sequence[dict[str, Any]], winner: int) -> str:
    """The search as a tree: the reference at the left, derived candidates to the right."""
    places = layout(nodes)
    deepest = max(d for _, d in places.values())
    rows = max(r for r, _ in places.values()) + 1
    step = 26.0 if rows <= 60 else 15.0
    column = min(170.0, max(96.0, 620.0 / (deepest + 1)))
    labels = rows <= 60
    edge = 130.0 if labels else 24.0
    width, height = 40 + column * max(deepest, 1) + edge, 24 + step * rows
    leaves = {n["id"] for n in nodes} - {p for n in nodes for p in n["parents"][:1]}

    def at(node: int) -> tuple[float, float]:
        row, depth = places[node]
        return 24 + depth * column, 12 + step * (row + 0.5)

    body = []
    for n in nodes:
        for position, parent in enumerate(n["parents"]):
            (x0, y0), (x1, y1) = at(parent), at(n["id"])
            kind = "edge" if position == 0 else "edge cross"
            bend = (x0 + x1) / 2
            body.append(
                f'<path d="M{x0:.1f} {y0:.1f}C{bend:.1f} {y0:.1f} {bend:.1f} {y1:.1f} '
                f'{x1:.1f} {y1:.1f}" class="{kind}"/>'
            )
    for n in nodes:
        x, y = at(n["id"])
        status = n["status"]
        tip = f"#{n['id']} {n['name']} ({n['proposer'] or 'reference'})\n" + (
            "the reference"
            if status == "reference"
            else f"{n['fitness']:.2f}×"
            if n["fitness"] > 0
            else _why(n)
        )
        if status == "reference":
            body.append(mark("circle", x, y, 6.5, "root", tip))
        else:
            faster = " slower" if status == "accept" and n["fitness"] <= 1 else ""
            body.append(mark(SHAPES.get(status, "circle"), x, y, 5.5, status + faster, tip))
        if n["id"] == winner:
            body.append(_ring(x, y, 10))
        if labels and (n["id"] in leaves or n["id"] in (0, winner)):
            name = "reference" if n["id"] == 0 else _label(n)
            beside = n["id"] in leaves
            body.append(text(*((x + 13, y + 4, "") if beside else (x, y - 12, "mid")), name))
    return svg(width, height, body, "the search graph", fixed=True)


def _label(node: dict[str, Any]) -> str:
    if node["fitness"] > 0:
        return f"{node['fitness']:.2f}×"
    return node["reasons"][0]["code"].replace("_", " ") if node["reasons"] else node["status"]


def error_plot(nodes: Sequence[dict[str, Any]], winner: int, limit: int = 16) -> str:
    """Largest errors against float64 beside the reference's own, on a logarithmic axis."""
    judged = [n for n in nodes if n["status"] == "accept" and n["errors"]]
    judged = sorted(judged, key=lambda n: -n["fitness"])[:limit]
    if not judged:
        return ""
    own = max(n["errors"]["reference_rel"] for n in judged)
    values = [v for v in [own, *(n["errors"]["max_rel"] for n in judged)] if v > 0]
    if not values:
        values = [1e-16]
    low, high = min(values) / 3, max(values) * 3
    width, left, right, row = 1060.0, 230.0, 60.0, 24.0
    height = 26 + row * len(judged) + 44
    x = Axis(low, high, left, width - right, log=True)
    bottom = 26 + row * len(judged)
    body = []
    for tick in x.ticks(6):
        body.append(line(x(tick), 22, x(tick), bottom, "grid"))
        body.append(text(x(tick), bottom + 17, "mid", number(tick)))
    caption = "largest error, relative to the output's largest magnitude"
    body.append(text((left + width - right) / 2, height - 4, "mid", caption))
    if own > 0:
        body.append(line(x(own), 18, x(own), bottom, "level"))
        body.append(text(x(own), 12, "mid", "the reference's own"))
    for i, n in enumerate(judged):
        y = 26 + row * (i + 0.5)
        error = n["errors"]["max_rel"]
        name = n["name"] if len(n["name"]) <= 30 else n["name"][:29] + "…"
        body.append(text(left - 12, y + 4, "end strong" if n["id"] == winner else "end", name))
        px = x(error) if error > 0 else left
        body.append(line(left, y, px, y, "stem"))
        tip = f"{n['name']}: {error:.2e}" if error > 0 else f"{n['name']}: exact"
        body.append(mark("circle", px, y, 4.5, "accept", tip))
    return svg(width, height, body, "errors against float64")
