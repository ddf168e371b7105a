"""``kernelmill bench report``: runs as tables, figures and a page."""

from __future__ import annotations

from pathlib import Path

from kernelmill.bench.report import lines_of, write
from kernelmill.bench.report.formats import cell
from kernelmill.bench.report.tables import summary
from kernelmill.bench.store import BenchStore
from kernelmill.cli.show import console, print_json, table


def main(runs: list[str], out: Path | None, store: str | None, as_json: bool) -> int:
    """Writes every format and prints the first table."""
    with BenchStore(store) as known:
        records = [known.run(name) for name in dict.fromkeys(runs)]
        lines = lines_of([(record, known.results(record.id)) for record in records])
    folder = out or Path("kernelmill-runs") / "reports" / "-".join(r.id for r in records)[:100]
    written = write(lines, folder)
    found = summary(lines)
    if as_json:
        rows = [dict(zip(found.columns, row, strict=True)) for row in found.rows]
        print_json({"files": [str(path) for path in written], "summary": rows})
        return 0
    right = tuple(i for i, kind in enumerate(found.kinds) if kind != "text")
    shown = table(*found.columns, right=right)
    for row in found.rows:
        shown.add_row(*(cell(v, kind) for v, kind in zip(row, found.kinds, strict=True)))
    console().print(shown)
    console().print(f"report {written[0]} ({len(written)} files)")
    return 0
