"""The same tables as text: CSV, Markdown, JSON; and verdicts as JUnit."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Sequence
from typing import Any
from xml.etree import ElementTree

from kernelmill.bench.report.tables import Line, Table
from kernelmill.search.records import plain

_NO_XML = re.compile(r"[^\t\n\r\x20-\uD7FF\uE000-\uFFFD\U00010000-\U0010FFFF]")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def cell(value: Any, kind: str) -> str:
    """A value as people read it.

    Example:
        >>> cell(0.4702, "share"), cell(1.5, "ratio"), cell(None, "ratio"), cell(3, "count")
        ('47.0 %', '1.50x', '', '3')
    """
    if value is None:
        return ""
    if kind == "share":
        return f"{100 * value:.1f} %"
    if kind == "ratio":
        return f"{value:.2f}x" if value < 1000 else f"{value:.3g}x"
    if kind == "seconds":
        return f"{value:.1f} s"
    return str(value)


def to_csv(table: Table) -> str:
    """Plain numbers, one header line. A text that a spreadsheet would take for a formula gets an
    apostrophe in front: reasons quote what candidates print."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(table.columns)
    for row in table.rows:
        writer.writerow(
            [
                "" if value is None
                else f"'{value}" if kind == "text" and str(value).startswith(_FORMULA)
                else value
                for value, kind in zip(row, table.kinds, strict=True)
            ]
        )  # fmt: skip
    return out.getvalue()


def to_markdown(tables: Sequence[Table], title: str) -> str:
    """Every table under its heading."""
    parts = [f"# {_inline(title)}\n"]
    for table in tables:
        rule = ["---" if kind == "text" else "---:" for kind in table.kinds]
        body = [
            [_inline(cell(v, kind)) for v, kind in zip(row, table.kinds, strict=True)]
            for row in table.rows
        ]
        lines = [list(map(_inline, table.columns)), rule, *body]
        parts.append(f"## {table.title}\n\n{table.note}\n")
        parts.append("\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n")
    return "\n".join(parts)


def _inline(value: str) -> str:
    """One line of Markdown that shows a text as it is."""
    line = " ".join(value.split())
    return re.sub(r"([\\`*_{}\[\]<>|#&])", r"\\\1", line)


def to_json(lines: Sequence[Line], tables: Sequence[Table]) -> str:
    """Runs with every sample, and the tables."""
    found = {
        "runs": [
            {
                "name": line.name, "run": line.run.id, "label": line.run.label,
                "suite": line.run.suite, "version": line.run.version, "hash": line.run.hash,
                "platform": line.platform, "status": line.run.status, "config": line.run.config,
                "tasks": line.run.tasks, "results": [r.to_dict() for r in line.results],
            }
            for line in lines
        ],
        "tables": {
            table.key: [dict(zip(table.columns, row, strict=True)) for row in table.rows]
            for table in tables
        },
    }  # fmt: skip
    return json.dumps(plain(found), indent=1, allow_nan=False) + "\n"


def to_junit(lines: Sequence[Line]) -> str:
    """A test suite per run, a test case per sample; a task without an answer is a failure."""
    root = ElementTree.Element("testsuites")
    for line in lines:
        cases = [(r.task, r.sample, r) for r in line.results]
        answered = {r.task for r in line.results}
        cases += [(task, 0, None) for task in line.run.tasks if task not in answered]
        failed = sum(r is None or (not r.correct and r.status != "error") for _, _, r in cases)
        errors = sum(r is not None and not r.correct and r.status == "error" for _, _, r in cases)
        suite = ElementTree.SubElement(
            root, "testsuite", name=_xml(line.name), tests=str(len(cases)), failures=str(failed),
            errors=str(errors), time=f"{sum(r.seconds for r in line.results):.3f}",
        )  # fmt: skip
        for task, sample, result in cases:
            case = ElementTree.SubElement(
                suite, "testcase", classname=_xml(line.run.tasks[task] or line.run.suite),
                name=_xml(f"{task}[{line.platform}-{sample}]"),
                time=f"{result.seconds if result else 0:.3f}",
            )  # fmt: skip
            if result is None:
                ElementTree.SubElement(case, "failure", type="missing", message="no answer")
            elif not result.correct:
                kind = "error" if result.status == "error" else "failure"
                made = ElementTree.SubElement(
                    case, kind, type=_xml(result.code or result.stage), message=_xml(result.message)
                )
                made.text = _xml(f"at {result.stage}: {result.message}")
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _xml(value: str) -> str:
    """A text with the characters that XML 1.0 has no way to write as ``?``."""
    return _NO_XML.sub("?", value)
