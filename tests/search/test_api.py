from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import pytest
import torch

import kernelmill
from kernelmill.search import (
    Budget,
    Interrupted,
    StoreError,
    StoreMismatch,
    delete_run,
    export_run,
    list_runs,
    load,
    optimize,
    optimize_task,
    show_run,
    write_report,
)
from kernelmill.tasks import Candidate, Task, TaskError
from tests.search.fakes import FakeJudge, rejected
from tests.search.test_deployed import LIVE, SOURCE

TASK = Task("toy <task>", SOURCE)


class Speeds:
    """Candidates that are right, of the given speeds; the judge knows them by name."""

    name = "speeds"

    def __init__(self, speeds, source=LIVE, baseline=None):
        self.speeds, self.source, self.baseline = speeds, source, baseline

    def propose(self, task, parents, context):
        if parents:
            return
        for i, speed in enumerate(self.speeds):
            facts = {"speed": speed}
            if i == self.baseline:
                facts["baseline"] = "torch.compile"
            text = self.source + f"\n\nNUMBER = {i}\n"
            yield Candidate(text, "torch", f"kernel <{i}>", facts)


def speed(candidate):
    return candidate.provenance["speed"]


def go(tmp_path, speeds, judge=None, **options):
    options.setdefault("budget", Budget(candidates=50))
    options.setdefault("proposers", [Speeds(speeds, baseline=options.pop("baseline", None))])
    return optimize_task(
        options.pop("task", TASK),
        judge=judge or FakeJudge(speed),
        store=tmp_path / "runs.db",
        **options,
    )


def test_the_winner_is_the_one_that_wins_the_race(tmp_path):
    lucky = {1.5: 1.1, 1.4: 1.6, 1.3: 1.2, 1.2: 9.0}  # in the search: in the race
    judge = FakeJudge(speed, race=lambda c: lucky.get(speed(c), 1.0))
    result = go(tmp_path, [1.2, 1.3, 1.4, 1.5], judge, top=3)
    assert result.winner.candidate.provenance["speed"] == 1.4
    assert [row.label for row in result.rows] == ["eager", "winner"]
    assert result.rows[1].ratio == 1.6 and result.rows[1].remeasured
    assert result.improved and "1.60x eager" in result.summary
    assert result.stop_reason == "exhausted"
    assert (result.candidates, result.accepted) == (4, 4)
    certificate = json.loads((result.winner_path / "certificate.json").read_text())
    assert certificate["timing"]["ratio"] == 1.6
    assert certificate["evaluation"]["timing"]["ratio"] == 1.4


def test_torch_compile_takes_part_and_may_win(tmp_path):
    result = go(tmp_path, [1.5, 2.0, 1.9, 1.8], baseline=0, top=2)
    assert [row.label for row in result.rows] == ["eager", "torch.compile", "winner"]
    assert [row.ratio for row in result.rows] == [1.0, 1.5, 2.0]
    assert "1.33x torch.compile" in result.summary
    result = go(tmp_path, [2.5, 2.0], baseline=0)
    assert not result.improved and result.winner.id == 1
    assert result.summary.startswith("Nothing was faster than torch.compile, which is 2.50x eager")


def test_the_reference_stays_where_nothing_is_faster(tmp_path):
    result = go(tmp_path, [0.9, 0.5, 1.01])  # 1.01 is within the noise
    assert result.winner.id == 0 and not result.improved
    assert result.rows[-1].ratio == 1.0 and result.rows[-1].label == "winner"
    assert result.summary.startswith("Nothing was faster than the reference")
    module = load(result.winner_path)
    with torch.no_grad():
        module(torch.randn(5, 4), 2.0)
    assert module.calls == {"kernel": 0, "reference": 1}
    result = go(tmp_path, [], judge=FakeJudge(lambda c: rejected()))
    assert result.candidates == 0 and result.winner.id == 0


def test_a_finalist_that_fails_in_the_race_is_out(tmp_path):
    class Race(FakeJudge):
        def race(self, task, candidates, runs=None):
            if any(speed(c) == 3.0 for c in candidates):
                raise ValueError("a candidate failed in the race: wrong values")
            return super().race(task, candidates)

    result = go(tmp_path, [2.0, 3.0, 1.5], Race(speed))
    assert result.rows[-1].ratio == 2.0
    result = go(tmp_path, [2.0, 3.0], FakeJudge(speed, race=ValueError("no")))
    assert result.rows[-1].ratio == 3.0 and not result.rows[-1].remeasured


def test_one_call_from_module_to_module(tmp_path):
    torch.manual_seed(0)
    linear = torch.nn.Linear(4, 3)
    source = (
        "import torch\nclass ModelNew(torch.nn.Module):\n"
        "    def __init__(self):\n        super().__init__()\n"
        "        self.weight = torch.nn.Parameter(torch.zeros(3, 4))\n"
        "        self.bias = torch.nn.Parameter(torch.zeros(3))\n"
        "    def forward(self, x):\n        return x @ self.weight.t() + self.bias\n"
    )
    events = []
    x = torch.randn(2, 4)
    fast = kernelmill.optimize(
        linear.eval(),
        x,
        budget=Budget(candidates=5),
        store=tmp_path / "runs.db",
        proposers=[Speeds([2.0], source)],
        judge=FakeJudge(speed),
        progress=events.append,
        out=tmp_path / "out",
    )
    with torch.no_grad():
        torch.testing.assert_close(fast(x), linear(x))
        linear.weight.add_(1.0)
        torch.testing.assert_close(fast(x), linear(x))
    assert fast.calls["kernel"] == 2 and fast.weight is linear.weight
    assert {e.kind for e in events} >= {"start", "node", "ranking", "done"}
    assert (tmp_path / "out" / "report.html").exists()
    again = kernelmill.load(tmp_path / "out" / "winner", linear)
    with torch.no_grad():
        torch.testing.assert_close(again(x), linear(x))
    assert again.calls["kernel"] == 1


def test_a_function_can_be_optimised(tmp_path):
    def double(x):
        return x * 2

    source = "import torch\nclass ModelNew(torch.nn.Module):\n    def forward(self, x):\n"
    fast = optimize(
        double,
        [torch.ones(3)],
        Budget(candidates=5),
        store=tmp_path / "runs.db",
        proposers=[Speeds([2.0], source + "        return x + x\n")],
        judge=FakeJudge(speed),
        report=False,
    )
    assert fast(torch.ones(3)).tolist() == [2, 2, 2] and fast.calls["kernel"] == 1


def test_a_run_is_resumed_with_what_the_store_knows(tmp_path):
    class Stopped(FakeJudge):
        def evaluate(self, task, candidate, timing=True):
            if len(self.paid) == 2:
                raise KeyboardInterrupt
            return super().evaluate(task, candidate)

    with pytest.raises(Interrupted) as caught:
        go(tmp_path, [1.1, 1.2, 1.3, 1.4], Stopped(speed))
    run_id = caught.value.run_id
    assert list_runs(tmp_path / "runs.db")[0]["status"] == "interrupted"
    judge = FakeJudge(speed)
    result = go(tmp_path, [1.1, 1.2, 1.3, 1.4], judge, task=None, budget=None, resume=run_id)
    assert result.run_id == run_id and len(judge.paid) == 2
    assert result.winner.candidate.provenance["speed"] == 1.4
    with pytest.raises(StoreMismatch, match="no run 'nope'"):
        go(tmp_path, [], resume="nope")


def test_ctrl_c_in_the_race_keeps_the_search(tmp_path):
    class Race(FakeJudge):
        def race(self, task, candidates, runs=None):
            raise KeyboardInterrupt

    with pytest.raises(Interrupted) as caught:
        go(tmp_path, [1.1, 1.2], Race(speed))
    judge = FakeJudge(speed)
    result = go(tmp_path, [1.1, 1.2], judge, resume=caught.value.run_id, task=None, budget=None)
    assert not judge.paid and result.rows[-1].ratio == 1.2


def test_an_untestable_problem_is_not_searched(tmp_path):
    class Linting(FakeJudge):
        def lint(self, task):
            return type("Report", (), {"verdict": "untestable", "findings": ()})()

    judge = Linting(speed)
    result = go(tmp_path, [2.0], judge)
    assert result.stop_reason == "untestable" and not judge.paid and result.winner.id == 0


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"budget": "-5s"}, ValueError, "budget: got '-5s'"),
        ({"budget": "soon"}, ValueError, "budget"),
        ({"backends": ["fortran"]}, ValueError, "fortran"),
        ({"policy": "best"}, ValueError, "policy"),
        ({"proposers": ["nobody"]}, ValueError, "nobody"),
        ({"task": None}, ValueError, "task"),
        ({"task": "missing.py"}, TaskError, "missing.py"),
    ],
)
def test_bad_arguments_are_named_before_anything_is_judged(tmp_path, options, error, words):
    judge = FakeJudge(speed)
    with pytest.raises(error, match=words):
        go(tmp_path, [2.0], judge, **options)
    assert not judge.paid
    assert list_runs(tmp_path / "runs.db") == []


def test_modules_need_inputs_and_tasks_have_them(tmp_path):
    with pytest.raises(ValueError, match="example_inputs: needed"):
        optimize(torch.nn.ReLU())
    with pytest.raises(ValueError, match="example_inputs: only"):
        optimize(TASK, [torch.zeros(1)])
    (tmp_path / "file").write_text("text")
    with pytest.raises(StoreError):
        optimize_task(TASK, store=tmp_path / "file", judge=FakeJudge())


def test_runs_are_listed_shown_exported_and_deleted(tmp_path):
    store = tmp_path / "runs.db"
    assert list_runs(store) == []
    first = go(tmp_path, [1.5, 0.0, 2.0])
    second = go(tmp_path, [1.5])
    listed = list_runs(store)
    assert [r["id"] for r in listed] == [second.run_id, first.run_id]
    assert listed[1]["task"] == "toy <task>" and listed[1]["status"] == "done"
    assert (listed[1]["candidates"], listed[1]["accepted"], listed[1]["best"]) == (3, 2, 2.0)
    shown = show_run(store, first.run_id)
    assert [n["status"] for n in shown["nodes"]] == ["reference", "accept", "reject", "accept"]
    assert shown["result"]["winner"] == 3
    assert shown["nodes"][2]["reasons"][0]["code"] == "wrong_values"
    assert export_run(store, first.run_id, tmp_path / "run.jsonl") == 2 + 4 + len(shown["events"])
    rows = [json.loads(line) for line in (tmp_path / "run.jsonl").read_text().splitlines()]
    assert [r["kind"] for r in rows[:3]] == ["run", "task", "node"]
    assert rows[3]["source"].startswith("\nimport torch")
    assert delete_run(store, first.run_id) == 4
    assert [r["id"] for r in list_runs(store)] == [second.run_id]
    for call in (show_run, delete_run):
        with pytest.raises(StoreMismatch):
            call(store, first.run_id)
    # what was paid for stays
    assert go(tmp_path, [1.5, 0.0, 2.0], judge := FakeJudge(speed)).accepted == 2
    assert not judge.paid


class Page(HTMLParser):
    """Checks that tags are closed and collects what a browser would fetch."""

    VOID = {"meta", "br", "img", "link", "input", "hr"}

    def __init__(self):
        super().__init__()
        self.open, self.fetched, self.tags = [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.fetched += [v for k, v in attrs if k in ("src", "href")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def page_of(path) -> Page:
    page = Page()
    page.feed(path.read_text())
    assert not page.open
    return page


def test_the_report_is_one_whole_page_that_fetches_nothing(tmp_path):
    result = go(tmp_path, [1.5, 0.0, 2.0, 0.7], baseline=0)
    text = result.report_path.read_text()
    page = page_of(result.report_path)
    assert not page.fetched and "script" not in page.tags and page.tags.count("details") == 4
    assert not re.search(r"url\(|@import|https?://(?!www\.w3\.org/2000/svg)", text)
    assert "toy &lt;task&gt;" in text and "kernel &lt;2&gt;" in text
    assert "<task>" not in text and "kernel <" not in text
    for words in ("2.00×", "torch.compile", "the values are wrong", "float64", "a fake one"):
        assert words in text
    assert "prefers-color-scheme: dark" in text


def test_a_report_of_an_unfinished_or_large_run(tmp_path):
    class Stopped(FakeJudge):
        def evaluate(self, task, candidate, timing=True):
            raise KeyboardInterrupt

    with pytest.raises(Interrupted) as caught:
        go(tmp_path, [1.1], Stopped(speed))
    page_of(write_report(tmp_path / "runs.db", caught.value.run_id, tmp_path / "a.html"))
    many = [1.0 + i / 1000 for i in range(450)]
    result = go(tmp_path, many, budget=Budget(candidates=500), drafts=500)
    text = result.report_path.read_text()
    page_of(result.report_path)
    assert "of the less fit nodes are left out" in text
    assert result.report_path.stat().st_size < 4 << 20


def test_importing_the_search_is_light():
    import subprocess
    import sys

    code = (
        "import sys; import kernelmill.search, kernelmill.search.run, kernelmill.search.runs;"
        "heavy = {'torch', 'triton', 'jax', 'ray', 'matplotlib', 'jinja2'} & set(sys.modules);"
        "assert not heavy, heavy;"
        "import kernelmill.search as s; s.optimize; assert callable(s.optimize)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
