"""``kernelmill bench filters``."""

import json

from kernelmill.cli.run import run as cli
from tests.bench.chat_server import ChatServer


def test_weak_tasks_are_shown_and_good_ones_are_not(capsys):
    tasks = ["--task", "relu", "--task", "sum_reduction_over_a_dimension"]
    assert cli(["bench", "filters", *tasks]) == 1
    out = capsys.readouterr().out
    assert "identity@1e-4" in out and "sum_reduction" not in out and "1 of 2 tasks" in out
    assert cli(["bench", "filters", "--task", "relu", "--repaired"]) == 0
    assert "0 of 1 tasks are weak" in capsys.readouterr().out


def test_what_does_not_fit_is_said(capsys):
    command = ["bench", "filters", "--task", "square_matrix_multiplication", "--size", "head"]
    assert cli([*command, "--mib", "10"]) == 1
    assert "not run: square_matrix_multiplication" in capsys.readouterr().out


def test_a_model_gives_its_opinion_which_changes_nothing(capsys):
    def answer(body, key):
        said = "True" if "sum" in body["messages"][0]["content"] else "False"
        return f"Well.\nREDUNDANT: False\nINEFFICIENT: {said}"

    with ChatServer(answer=answer) as server:
        command = ["bench", "filters", "--task", "sum_reduction_over_a_dimension", "--model", "m"]
        assert cli([*command, "--base-url", server.url]) == 0
        assert "m calls it inefficient" in capsys.readouterr().out
        assert cli([*command, "--base-url", server.url, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    name = "sum_reduction_over_a_dimension"
    assert told["opinions"][name]["inefficient"] is True and told["tasks"][0]["weak"] == []
