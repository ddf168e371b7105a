"""``kernelmill bench screen``: rules, a language model, and the effect on judged candidates."""

import json

import pytest

from kernelmill.bench.folder import read_candidates
from kernelmill.bench.prompts import example
from kernelmill.bench.result import Result
from kernelmill.bench.store import BenchStore
from kernelmill.cli.run import run as cli
from kernelmill.tasks.suites import load_suite
from tests.bench.chat_server import ChatServer

GOOD = example("reduce", "cpp").answer
TASK = example("reduce", "cpp").task.name


@pytest.fixture
def folder(tmp_path):
    place = tmp_path / "answers" / TASK
    place.mkdir(parents=True)
    broken = GOOD.replace("[ctypes.c_void_p] * 2", "[ctypes.c_void_p] * 3")
    assert broken != GOOD
    for i, text in enumerate([GOOD, broken, GOOD + "\n# wrong\n"]):
        (place / f"sample_{i}.py").write_text(text)
    return place.parent


@pytest.fixture
def store(folder, tmp_path):
    """A run that judged them: 0 right, 1 and 2 wrong."""
    suite = load_suite("multikernelbench", categories=["reduce"])
    items, _ = read_candidates(folder, suite)
    with BenchStore(tmp_path / "s.db") as made:
        run = made.create_run(suite, "judged")
        for item in items:
            made.add(run, Result(TASK, "reduce", "cpp", item.sample, True, item.sample == 0,
                                 candidate=item.candidate.hash))  # fmt: skip
    return ["--run", "judged", "--store", str(tmp_path / "s.db")]


def test_rules_and_their_effect(folder, store, capsys):
    assert cli(["bench", "screen", str(folder), *store, "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert [row["passed"] for row in told["candidates"]] == [True, False, True]
    assert "argtypes has 6" in told["candidates"][1]["reasons"][0]
    third = pytest.approx(1 / 3)
    assert told["effects"]["all"] == {"before": third, "after": 0.5, "lost": 0, "saved": 1}
    assert told["effects"]["static memory"]["saved"] == 0
    assert cli(["bench", "screen", str(folder), *store]) == 1
    out = capsys.readouterr().out
    assert "held back" in out and "33.3 %" in out and "50.0 %" in out


def test_a_model_is_asked_about_what_passes_the_rules(folder, store, capsys):
    def answer(body, key):
        return "I see it.\nFalse" if "# wrong" in body["messages"][0]["content"] else "Fine.\nTrue"

    with ChatServer(answer=answer) as server:
        command = ["bench", "screen", str(folder), "--model", "m", "--base-url", server.url]
        assert cli([*command, *store, "--json"]) == 1
        told = json.loads(capsys.readouterr().out)
        assert [row["passed"] for row in told["candidates"]] == [True, False, False]
        assert len(server.bodies) == 2 * 3 * 2  # two candidates, three subjects, with reflection
    assert told["effects"]["all"] == {"before": pytest.approx(1 / 3), "after": 1.0, "lost": 0,
                                      "saved": 2}  # fmt: skip
    assert told["effects"]["language"] == {"before": pytest.approx(1 / 3), "after": 0.5,
                                           "lost": 0, "saved": 1}  # fmt: skip


def test_other_candidates_have_no_effect(folder, store, tmp_path, capsys):
    for path in folder.rglob("*.py"):
        path.write_text(path.read_text() + "\n# changed\n")
    assert cli(["bench", "screen", str(folder), *store]) == 2
    assert "has judged none of these candidates" in capsys.readouterr().err
