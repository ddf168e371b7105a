"""``kernelmill bench``: what the commands print and return."""

import json

import pytest

from kernelmill.cli import main
from kernelmill.tasks.suites import load_suite


def test_list_counts_tasks_and_categories(capsys):
    assert main(["bench", "list"]) == 0
    out = capsys.readouterr().out
    assert "285 tasks in 14 categories" in out
    assert any(line.split() == ["convolution", "34"] for line in out.splitlines())
    assert main(["bench", "list", "--weak", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["tasks"]
    assert len(found) == 43 and all(row["weak"] and row["repaired"] for row in found)


def test_show_prints_the_reference(capsys):
    assert main(["bench", "show", "softmax", "--size", "head", "--repaired"]) == 0
    out = capsys.readouterr().out
    assert "float32[4096, 393216]" in out and "class Model(nn.Module):" in out
    assert main(["bench", "show", "mnist_linear", "--suite", "robust-kbench", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["cost"]["flops"] == 2 * 6 * 33 * 10
    assert main(["bench", "show", "sofmax"]) == 2
    assert "nearest: softmax" in capsys.readouterr().err


CHEAT = "# task: softmax | backend: torch | expect: wrong_values | level: L0\n"
HONEST = "# task: softmax | backend: torch\n"
MODEL = """
import torch
class ModelNew(torch.nn.Module):
    def forward(self, x):
        return {}
"""


def test_exploits_of_a_folder(tmp_path, capsys):
    for kind, name, text in (
        ("cheats", "values_mean", CHEAT + MODEL.format("torch.full_like(x, 1 / x.shape[1])")),
        ("honest", "rewritten", HONEST + MODEL.format("torch.log_softmax(x, 1).exp()")),
    ):
        (tmp_path / kind).mkdir()
        (tmp_path / kind / f"{name}.py").write_text(text)
    command = ["bench", "exploits", "--folder", str(tmp_path), "--timing", "none"]
    assert main(command) == 0
    assert "0 of 1 cheats accepted, 0 of 1 honest refused" in capsys.readouterr().out
    (tmp_path / "cheats" / "values_right.py").write_text(CHEAT + MODEL.format("x.softmax(1)"))
    assert main([*command, "--json"]) == 1
    found = {row["name"]: row["verdict"] for row in json.loads(capsys.readouterr().out)}
    assert found["values_right"] == "MISSED"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--family", "nothing"], "unknown family 'nothing'; known: baseline"),
        (["--timing", "some"], "timing must be needed, all or none"),
        (["--folder", "/"], "has no files in cheats/ or honest/"),
    ],
)
def test_wrong_options_of_exploits(arguments, message, capsys):
    assert main(["bench", "exploits", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_run_prints_and_keeps(tmp_path, capsys):
    task = load_suite("multikernelbench", tasks=["relu"])["relu"]
    (tmp_path / "answers").mkdir()
    source = task.source.replace("class Model(", "class ModelNew(")
    (tmp_path / "answers" / "relu.py").write_text(source)
    store = ["--store", str(tmp_path / "store.db")]
    command = ["bench", "run", str(tmp_path / "answers"), "--category", "activation", *store]
    assert main([*command, "--no-timing", "--label", "mine"]) == 0
    # one of fifteen
    assert "6.7 %" in capsys.readouterr().out
    assert main(["bench", "leaderboard", *store]) == 0
    assert "mine" in capsys.readouterr().out
