"""Reports: every format says the same, and text of candidates stays text."""

import csv
import io
import json
import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest

from kernelmill.bench.report import lines_of, tables, write
from kernelmill.bench.report.formats import to_csv, to_junit, to_markdown
from kernelmill.bench.result import Result
from kernelmill.bench.store import BenchStore
from kernelmill.cli.run import run as cli
from kernelmill.tasks import Suite, Task

HOSTILE = "=1+1 <script>alert('x')</script> | `a` \x00\x1b[31m & ]]> \ud83d"
TASKS = {"a": "x", "b": "x", "c": "y", "never": "y"}


def result(task, platform="cpp", sample=0, **fields):
    return Result(task, TASKS[task], platform, sample, **fields)


RESULTS = [
    result("a", compiled=True, correct=True, status="accept", speedup=2.0, interval=(1.8, 2.2),
           seconds=1.5),
    result("a", sample=1, compiled=True, correct=True, status="accept", speedup=0.5),
    result("b", compiled=True, status="reject", stage="cases", code="mismatch", message=HOSTILE),
    result("b", sample=1, status="error", stage="build", code="build_error", message="no ;"),
    result("c", compiled=True, correct=True, status="accept", speedup=1.0),
    result("c", sample=1, compiled=True, correct=True, status="accept"),
]  # fmt: skip


@pytest.fixture
def store(tmp_path):
    suite = Suite("mine", "1", tuple(Task(n, f"# {n}", category=c) for n, c in TASKS.items()))
    with BenchStore(tmp_path / "store.db") as made:
        for label, platform in (("first", "cpp"), ("second<b>", "triton")):
            run = made.create_run(suite, label, {"model": "m=1 <i>", "strategy": "few_shot"})
            for r in RESULTS:
                made.add(run, Result.from_dict({**r.to_dict(), "platform": platform}))
            made.finish(run)
        yield made


@pytest.fixture
def lines(store):
    records = [store.run("first"), store.run("second<b>")]
    return lines_of([(record, store.results(record.id)) for record in records])


def named(lines):
    return {table.key: table for table in tables(lines)}


def test_the_figures_are_those_of_hand(lines):
    found = named(lines)
    first = dict(zip(found["summary"].columns, found["summary"].rows[0], strict=True))
    # of four tasks: a and c are right in both samples, b in none, one was never answered
    assert (first["tasks"], first["samples"], first["model"]) == (4, 6, "m=1 <i>")
    assert first["compiled@1"] == (1 + 0.5 + 1 + 0) / 4
    assert first["pass@1"] == 0.5 and first["speedup_1@1"] == (0.5 + 0 + 0.5) / 4
    assert first["geomean"] == pytest.approx(2**0.5)
    fast = dict(zip(found["fast_p"].columns, found["fast_p"].rows[0], strict=True))
    assert fast["fast_0"] == (1 + 0.5) / 4 and fast["fast_1"] == 0.5 / 4 and fast["fast_2"] == 0
    by = {row[0]: row for row in found["categories"].rows}
    assert by["x"][:2] == ("x", 2) and by["x"][3] == 0.5 and by["y"][3] == 0.5
    refused = {row[1:3]: row[3] for row in found["failures"].rows if row[0] == "first"}
    assert refused == {("cases", "mismatch"): 1, ("build", "build_error"): 1}
    by_task = {row[0]: row for row in found["tasks"].rows if row[2] == "first"}
    assert by_task["a"][3:9] == ("right", 2.0, 1.8, 2.2, 2, 2)
    assert by_task["never"][3] == "no answer" and by_task["b"][3] == "reject"


class Page(HTMLParser):
    """Which elements a page has."""

    def __init__(self):
        super().__init__()
        self.found, self.open = [], []

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))


def test_the_page_needs_nothing_else_and_escapes(lines, tmp_path):
    written = {path.name: path for path in write(lines, tmp_path / "out")}
    text = written["report.html"].read_text(encoding="utf-8")
    page = Page()
    page.feed(text)
    kinds = {tag for tag, _ in page.found}
    assert "script" not in kinds and "link" not in kinds and "img" not in kinds and "i" not in kinds
    for _, attributes in page.found:
        assert not {"src", "href", "onclick"} & set(attributes)
    assert "&lt;script&gt;" in text and "url(" not in text
    for name in ("speed.svg", "categories.svg"):
        root = ElementTree.fromstring(written[name].read_text(encoding="utf-8"))
        assert root.tag.endswith("svg")
    places = re.findall(r'points="([^"]+)"', written["speed.svg"].read_text())
    assert len(places) == 2 and "nan" not in "".join(places)


def test_csv_gives_numbers_and_no_formula(lines):
    for table in tables(lines):
        rows = list(csv.reader(io.StringIO(to_csv(table))))
        assert tuple(rows[0]) == table.columns and len(rows) == len(table.rows) + 1
        for row in rows[1:]:
            for cell, kind in zip(row, table.kinds, strict=True):
                if kind == "text":
                    assert not cell.startswith(("=", "+", "-", "@"))
                elif cell:
                    float(cell)


def test_markdown_keeps_its_columns(lines):
    text = to_markdown(tables(lines), "a | b")
    for block in text.split("\n\n"):
        if block.startswith("|"):
            widths = {len(re.findall(r"(?<!\\)\|", row)) for row in block.strip().splitlines()}
            assert len(widths) == 1
    assert "<script>" not in text


def test_junit_counts_every_sample_and_what_was_never_answered(lines):
    root = ElementTree.fromstring(to_junit(lines))
    suite = root.find("testsuite")
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("7", "2", "1")
    cases = {case.get("name"): case for case in suite}
    assert cases["a[cpp-0]"].find("failure") is None and cases["a[cpp-0]"].get("time") == "1.500"
    assert cases["b[cpp-0]"].find("failure").get("type") == "mismatch"
    assert cases["b[cpp-1]"].find("error") is not None
    assert cases["never[cpp-0]"].find("failure").get("type") == "missing"


def test_json_holds_every_sample(lines, tmp_path):
    write(lines, tmp_path)
    data = json.loads((tmp_path / "report.json").read_text())
    assert [len(run["results"]) for run in data["runs"]] == [6, 6]
    assert data["runs"][0]["results"][2]["message"].startswith("=1+1 <script>")
    assert data["tables"]["summary"][1]["platform"] == "triton"


def test_two_platforms_of_a_run_are_two_lines(store):
    record = store.run("first")
    store.add(record.id, result("a", platform="cuda", correct=True))
    found = lines_of([(record, store.results(record.id))])
    assert [line.name for line in found] == ["first cpp", "first cuda"]


def test_nothing_to_report_is_said(store):
    with pytest.raises(ValueError, match="at least one run"):
        lines_of([])
    with pytest.raises(ValueError, match="no results yet"):
        lines_of([(store.run("first"), [])])


def test_the_command(store, tmp_path, capsys):
    place = ["--store", str(tmp_path / "store.db")]
    assert cli(["bench", "report", "first", "--out", str(tmp_path / "r"), *place]) == 0
    out = capsys.readouterr().out
    assert "50.0 %" in out and "report.html" in out
    assert len(list((tmp_path / "r").iterdir())) == 11
    assert cli(["bench", "report", "nothing", *place]) == 2
    assert "no run 'nothing'" in capsys.readouterr().err
