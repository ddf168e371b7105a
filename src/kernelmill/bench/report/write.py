"""Writing a report into a folder."""

from __future__ import annotations

import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from kernelmill.bench.report.formats import cell, to_csv, to_json, to_junit, to_markdown
from kernelmill.bench.report.plots import HUES, category_plot, speed_plot, standalone
from kernelmill.bench.report.tables import Line, Table, tables
from kernelmill.search.page import page


def write(lines: Sequence[Line], folder: str | Path) -> list[Path]:
    """Write every format of a report; the paths, the HTML page first.

    Raises:
        OSError: the folder cannot be written.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    found = tables(lines)
    title = " against ".join(line.name for line in lines) if len(lines) < 4 else "Benchmark"
    figures = {"speed": speed_plot(lines), "categories": category_plot(lines)}
    texts = {
        "report.html": render(lines, found, title, figures),
        "report.md": to_markdown(found, title),
        "report.json": to_json(lines, found),
        "junit.xml": to_junit(lines),
        "speed.svg": standalone(figures["speed"]),
        "categories.svg": standalone(figures["categories"]),
        **{f"{table.key}.csv": to_csv(table) for table in found},
    }
    written = []
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8", errors="backslashreplace")
        written.append(folder / name)
    return written


def render(
    lines: Sequence[Line], found: Sequence[Table], title: str, figures: dict[str, str]
) -> str:
    """The page: one file, no scripts."""
    return page(
        "report.html.j2",
        Path(__file__).parent,
        name=title,
        made=time.strftime("%Y-%m-%d %H:%M"),
        version=version("kernelmill"),
        lines=[(line.name, i % HUES) for i, line in enumerate(lines)],
        tables={table.key: table for table in found},
        cell=cell,
        figures=figures,
        facts=[
            (line.name, {"run": line.run.id, "status": line.run.status, "tasks": line.run.hash[:12],
                         **line.run.config})
            for line in lines
        ],
    )  # fmt: skip
