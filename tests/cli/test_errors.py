"""Bad input: one clear sentence on standard error, the right exit code, no traceback."""

from __future__ import annotations

import subprocess
import sys

import pytest

from kernelmill.cli import main

GOOD = """
import torch
n = 4
class Model(torch.nn.Module):
    def forward(self, x):
        return x * 2
def get_inputs():
    return [torch.randn(n, 3)]
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "good.py").write_text(GOOD)
    (tmp_path / "new.py").write_text(GOOD.replace("class Model(", "class ModelNew("))
    (tmp_path / "nomodel.py").write_text("import torch\ndef get_inputs():\n    return []\n")
    (tmp_path / "syntax.py").write_text("import torch\nclass Model(:\n")
    (tmp_path / "fails.py").write_text(GOOD.replace("x * 2", "x @ x"))
    (tmp_path / "binary.py").write_bytes(b"\x80\x81\xff")
    (tmp_path / "text.txt").write_text("no code")
    (tmp_path / "notadb.db").write_text("this is no database, and long enough to be looked at")
    return tmp_path


def said(capsys):
    captured = capsys.readouterr()
    assert "Traceback" not in captured.err and captured.err.strip()
    return captured.err


@pytest.mark.parametrize(
    "argv, words",
    [
        (["evaluate", "missing.py", "new.py"], ["missing.py", "no such file"]),
        (["evaluate", "good.py", "missing.py"], ["missing.py"]),
        (["evaluate", "nomodel.py", "new.py"], ["nomodel.py", "no class Model"]),
        (["evaluate", "syntax.py", "new.py"], ["syntax.py", "line 2"]),
        (["evaluate", "binary.py", "new.py"], ["binary.py", "no text file"]),
        (["evaluate", "good.py", "text.txt"], ["text.txt", "backend"]),
        (["evaluate", "good.py", "new.py", "--backend", "fortran"], ["'fortran'", "inductor"]),
        (["evaluate", "good.py", "new.py", "--set", "n"], ["'n'", "NAME=VALUE"]),
        (["evaluate", "good.py"], ["CANDIDATE"]),
        (["evaluate", "good.py", "new.py", "--nonsense"], ["--nonsense"]),
        (["lint", "nowhere:model"], ["nowhere"]),
        (["optimize"], ["REFERENCE is missing"]),
        (["optimize", "missing.py"], ["missing.py", "no such file"]),
        (["optimize", "good.py", "--budget", "-5s"], ["budget", "-5s"]),
        (["optimize", "good.py", "--budget", "soon"], ["budget", "soon"]),
        (["optimize", "good.py", "--budget", "0"], ["budget"]),
        (["optimize", "good.py", "--backend", "fortran"], ["'fortran'"]),
        (["optimize", "good.py", "--store", "notadb.db"], ["notadb.db", "not an SQLite database"]),
        (["optimize", "good.py", "--store", "."], ["directory"]),
        (["optimize", "good.py", "--policy", "luck"], ["luck"]),
        (["optimize", "good.py", "--proposer", "muse"], ["muse", "compile"]),
        (["optimize", "--resume", "nothing-123", "--store", "new.db"], ["nothing-123"]),
        (["runs", "show", "nothing-123", "--store", "new.db"], ["nothing-123"]),
        (["runs", "list", "--store", "notadb.db"], ["notadb.db"]),
        (["runs", "delete", "nothing-123", "--yes", "--store", "new.db"], ["nothing-123"]),
        (["frobnicate"], ["frobnicate"]),
    ],
)
def test_unusable_arguments(argv, words, folder, capsys):
    assert main(argv) == 2
    text = said(capsys)
    assert all(word in text for word in words), text
    assert len(text.splitlines()) <= 6


@pytest.mark.slow
def test_a_reference_that_fails_on_its_own_inputs(folder, capsys):
    assert main(["evaluate", "fails.py", "new.py", "--no-timing"]) == 2
    assert "fails.py" in said(capsys)


def test_a_constant_that_does_not_exist(folder, capsys):
    assert main(["lint", "good.py", "--set", "m=3"]) == 2
    text = said(capsys)
    assert "'m'" in text and "n" in text


def test_debug_shows_the_traceback_and_may_stand_anywhere(folder, capsys):
    for argv in (["--debug", "lint", "missing.py"], ["lint", "missing.py", "--debug"]):
        assert main(argv) == 2
        assert "Traceback" in capsys.readouterr().err


def test_a_fault_of_ours_is_told_from_a_verdict(folder, capsys, monkeypatch):
    import kernelmill.cli.load as load

    monkeypatch.setattr(load.Task, "from_file", lambda *a, **k: 1 / 0)
    assert main(["lint", "good.py"]) == 3
    text = said(capsys)
    assert "internal error: ZeroDivisionError" in text and "--debug" in text


def test_without_the_workbench_extra_one_sentence_says_what_to_install(tmp_path):
    code = (
        "import sys\n"
        "class Refuse:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] == 'typer':\n"
        "            raise ModuleNotFoundError(f'No module named {name!r}', name='typer')\n"
        "sys.meta_path.insert(0, Refuse())\n"
        "from kernelmill.cli import main\n"
        "sys.exit(main(['doctor']))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.strip().count("\n") == 0
    assert "pip install 'kernelmill[workbench]'" in done.stderr
