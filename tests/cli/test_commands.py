from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import kernelmill
import kernelmill.search
from kernelmill.cli import main
from kernelmill.cli.show import milliseconds, ratio
from kernelmill.search.api import OptimizeResult
from kernelmill.search.errors import Interrupted
from kernelmill.search.ranking import Row
from kernelmill.search.types import Node
from kernelmill.tasks import Candidate

REFERENCE = """
import torch
rows = 64
class Model(torch.nn.Module):
    def forward(self, x):
        return torch.softmax(x, -1)
def get_inputs():
    return [torch.randn(rows, 96)]
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ref.py").write_text(REFERENCE)
    (tmp_path / "right.py").write_text(REFERENCE.replace("class Model(", "class ModelNew("))
    wrong = REFERENCE.replace("class Model(", "class ModelNew(").replace(
        "softmax(x, -1)", "relu(x)"
    )
    (tmp_path / "wrong.py").write_text(wrong)
    return tmp_path


def test_version_and_help(capsys):
    assert main(["--version"]) == 0
    assert kernelmill.__version__ in capsys.readouterr().out
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    assert all(command in out for command in ("doctor", "evaluate", "lint", "optimize", "runs"))


def test_doctor_as_text_and_as_json(capsys):
    assert main(["doctor"]) == 0
    text = capsys.readouterr().out
    assert all(word in text for word in ("sandbox", "compiler", "inductor", "workbench"))
    assert main(["doctor", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert {"python", "torch", "cpu", "backends", "sandbox", "native", "extras"} <= set(facts)
    assert facts["sandbox"]["level"] in ("namespaces", "landlock", "limits")


@pytest.mark.slow
def test_evaluate_accepts_and_rejects(folder, capsys):
    assert main(["evaluate", "ref.py", "right.py", "--no-timing", "--set", "rows=8", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["accepted"] and facts["status"] == "accept" and facts["timing"] is None
    assert {"stage", "reasons", "errors", "environment", "task_hash", "candidate_hash"} <= set(
        facts
    )
    assert main(["evaluate", "ref.py", "wrong.py", "--no-timing", "--set", "rows=8"]) == 1
    out = capsys.readouterr().out
    assert out.startswith("rejected") and "wrong_values" in out


@pytest.mark.slow
def test_lint(folder, capsys):
    assert main(["lint", "ref.py", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["verdict"] == "ok"


def result(tmp_path):
    rows = (
        Row("eager", "reference", 0, 2.0, 1.0, (1.0, 1.0), 2e-7, True),
        Row("torch.compile", "torch.compile", 1, 1.0, 2.0, (1.9, 2.1), 3e-7, True),
        Row("winner", "fused [3]", 4, 0.05, 40.0, (38.0, 42.5), 1e-7, True),
    )
    return OptimizeResult(
        run_id="ref-1",
        winner=Node(4, Candidate("class ModelNew: ...", "cpp", "fused [3]")),
        improved=True,
        summary="fused [3] is 40.00x eager",
        rows=rows,
        stop_reason="wall_clock",
        winner_path=tmp_path / "winner",
        report_path=tmp_path / "report.html",
        store="sqlite:///x.db",
        candidates=5,
        accepted=3,
        seconds=12.0,
    )


def test_optimize_ends_in_the_table_and_the_paths(folder, capsys, monkeypatch):
    seen = {}

    def fake(task, **options):
        seen.update(options, task=task)
        return result(folder)

    monkeypatch.setattr(kernelmill.search, "optimize_task", fake, raising=False)
    argv = "optimize ref.py --budget 2m --backend cpp --backend inductor --seed 7 --set rows=8"
    assert main([*argv.split(), "--backward", "--out", "there"]) == 0
    out = capsys.readouterr().out
    for text in ("eager", "torch.compile", "fused [3]", "50 us", "40.00x (38.00-42.50)", "1.0e-07"):
        assert text in out
    assert str(folder / "report.html") in out and str(folder / "winner") in out and "ref-1" in out
    assert seen["budget"].seconds == 120 and seen["backends"] == ["cpp", "inductor"]
    assert seen["seed"] == 7 and seen["out"] == Path("there")
    assert seen["task"].backward and dict(seen["task"].overrides) == {"rows": 8}

    assert main(["optimize", "ref.py", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["rows"][2]["ratio"] == 40.0 and facts["winner"]["backend"] == "cpp"


def test_ctrl_c_says_how_to_go_on(folder, capsys, monkeypatch):
    def fake(task, **options):
        raise Interrupted("ref-9", "sqlite:///x.db")

    monkeypatch.setattr(kernelmill.search, "optimize_task", fake, raising=False)
    assert main(["optimize", "ref.py"]) == 130
    text = capsys.readouterr().err
    assert "kernelmill optimize --resume ref-9 --store sqlite:///x.db" in text


@pytest.mark.slow
def test_a_real_ctrl_c_loses_nothing_and_the_run_goes_on(folder):
    """The whole way once: optimise, interrupt, list, resume, export, delete."""
    command = [sys.executable, "-m", "kernelmill"]
    environment = {**os.environ, "PYTHONPATH": str(Path(kernelmill.__path__[0]).parent)}
    searching = subprocess.Popen(
        [*command, "optimize", "ref.py", "--budget", "600s", "--proposer", "compile"],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        env=environment,
        start_new_session=True,
    )
    lines = []
    for line in searching.stderr:
        lines.append(line)
        if line.startswith("run "):
            break
    time.sleep(1)
    os.killpg(searching.pid, signal.SIGINT)
    rest = searching.stderr.read()
    assert searching.wait() == 130, rest
    assert "--resume" in rest and "Traceback" not in rest
    run = next(line.split()[1] for line in lines if line.startswith("run "))

    def ask(*argv):
        return subprocess.run(
            [*command, *argv], capture_output=True, text=True, env=environment, check=True
        ).stdout

    (listed,) = json.loads(ask("runs", "list", "--json"))
    assert listed["id"] == run and listed["status"] == "interrupted"
    resumed = json.loads(
        ask("optimize", "--resume", run, "--budget", "1s", "--proposer", "compile", "--json")
    )
    assert resumed["run"] == run and Path(resumed["report"]).is_file()
    assert (Path(resumed["winner"]["path"]) / "certificate.json").is_file()
    assert "eager" in ask("runs", "show", run)
    assert all(json.loads(line) for line in ask("runs", "export", run).splitlines())
    ask("runs", "delete", run, "--yes")
    assert json.loads(ask("runs", "list", "--json")) == []


@pytest.mark.parametrize(
    "value, text", [(0.0999, "99.9 us"), (0.1, "0.1 ms"), (999.0, "999 ms"), (1500.0, "1.5 s")]
)
def test_times_have_a_fitting_unit(value, text):
    assert milliseconds(value) == text


def test_a_ratio_without_interval():
    assert ratio(2.0) == "2.00x" and ratio(None) == "-"
