"""Asking for candidates: nothing is lost, nothing asked twice, the budget holds."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

pytest.importorskip("openai")

from kernelmill.bench.folder import read_candidates
from kernelmill.bench.generation import Budget, Client, Plan, Prices, extract, generate
from kernelmill.bench.generation.folder import Folder, FolderError
from kernelmill.bench.generation.pace import Pace
from kernelmill.tasks import Suite, Task
from kernelmill.tasks.suites import load_suite
from tests.bench.chat_server import ChatServer, answer_of


def suite(count):
    body = "import torch\nclass Model(torch.nn.Module):\n    def forward(self, x):\n"
    ends = "\ndef get_inputs():\n    return [torch.randn(4)]\n"
    tasks = [Task(f"t{i}", f"{body}        return x + {i}{ends}") for i in range(count)]
    return Suite("made", "1", tuple(tasks))


def ask(server, folder, tasks=2, samples=2, *, plan=None, client=None, **fields):
    options = {"retries": 4, "timeout_s": 5.0, "first_wait_s": 0.01, **(client or {})}
    made = Plan(
        suite(tasks), "cpp", **{"strategy": "zero_shot", "samples": samples, **(plan or {})}
    )
    return generate(made, lambda: Client("m", server.url, "key", **options), folder, **fields)


def answers(folder):
    return {
        (p.parent.name, int(p.stem.removeprefix("sample_"))): json.loads(p.read_text())
        for p in folder.glob("answers/*/*.json")
    }


def ledger(folder):
    return [json.loads(line) for line in (folder / "requests.jsonl").read_text().splitlines()]


def test_every_sample_is_asked_once_and_kept_as_it_came(tmp_path):
    with ChatServer() as server:
        summary = ask(server, tmp_path, tasks=3, samples=2)
        again = ask(server, tmp_path, tasks=3, samples=2)
        more = ask(server, tmp_path, tasks=3, samples=3)
    assert (summary.asked, summary.complete, summary.requests, summary.tokens) == (6, True, 6, 720)
    assert (again.asked, again.there, again.requests) == (0, 6, 6)
    assert (more.asked, more.there, more.requests, more.tokens) == (3, 6, 9, 1080)
    assert len(server.seen) == 9 and set(server.seen.values()) == {1}
    found = answers(tmp_path)
    assert set(found) == {(f"t{i}", n) for i in range(3) for n in range(3)}
    for (task, number), record in found.items():
        assert record["text"] == answer_of(record["key"])
        code = (tmp_path / task / f"sample_{number}.py").read_text()
        assert code == f"# {record['key']}\nclass ModelNew: pass\n"
    items, notes = read_candidates(tmp_path, suite(3))
    assert len(items) == 9 and notes == []
    body = server.bodies[0]
    assert body["model"] == "m" and body["max_tokens"] == 8192 and "temperature" not in body
    asked = [b["messages"][0]["content"] for b in server.bodies]
    assert [sum(f"x + {i}" in text for text in asked) for i in range(3)] == [3, 3, 3]


RECOVERABLE = [
    "429", "500", "503", "slow", "hang_up", "half_body", "no_json", "no_choices", "odd_content",
]  # fmt: skip


@pytest.mark.parametrize("fault", RECOVERABLE)
def test_a_passing_fault_is_tried_again_and_written_down(tmp_path, fault):
    first = {}

    def script(number, body, key):
        first.setdefault(key, number)
        return fault if first[key] == number else ""

    with ChatServer(script, slow_s=3) as server:
        summary = ask(server, tmp_path, tasks=2, samples=1, client={"timeout_s": 0.6})
    assert summary.complete and summary.asked == 2 and summary.attempts == 4
    assert {r["text"] for r in answers(tmp_path).values()} == {answer_of(k) for k in server.seen}
    told = [row["status"] for row in ledger(tmp_path) if row["event"] == "ended"]
    wanted = {
        "slow": {"timeout"}, "hang_up": {"connection"}, "half_body": {"connection", "malformed"},
    }.get(fault, {f"http_{fault}"} if fault.isdigit() else {"malformed"})  # fmt: skip
    assert told.count("ok") == 2 and set(told) - {"ok"} <= wanted and len(told) == 4


@pytest.mark.parametrize("fault", ["", "cut_stream", "500"])
def test_streams(tmp_path, fault):
    with ChatServer(lambda number, body, key: fault if number == 0 else "") as server:
        summary = ask(server, tmp_path, tasks=1, samples=2, client={"stream": True})
    assert summary.complete and summary.attempts == 2 + bool(fault)
    assert all(r["text"] == answer_of(r["key"]) for r in answers(tmp_path).values())
    assert all(r["prompt_tokens"] == 100 for r in answers(tmp_path).values())
    assert server.bodies[0]["stream"] is True


def test_who_never_answers_is_named_and_asked_by_the_next_run(tmp_path):
    broken = True

    def script(number, body, key):
        return "500" if broken and "x + 1" in body["messages"][0]["content"] else ""

    with ChatServer(script) as server:
        summary = ask(server, tmp_path, tasks=3, samples=1, client={"retries": 2})
        assert [(task, sample) for task, sample, _ in summary.failed] == [("t1", 0)]
        assert "3 attempts" in summary.failed[0][2] and not summary.complete
        broken = False
        assert ask(server, tmp_path, tasks=3, samples=1).asked == 1
    assert sorted(server.answered.values()) == [1, 1, 1]


def test_a_wrong_request_is_not_repeated_and_a_wrong_key_ends_all(tmp_path):
    with ChatServer(lambda number, body, key: "400" if number == 0 else "") as server:
        summary = ask(server, tmp_path / "a", tasks=3, samples=1, concurrency=1)
    assert len(summary.failed) == 1 and summary.asked == 2 and server.number == 3
    with ChatServer(lambda *_: "401") as server:
        summary = ask(server, tmp_path / "b", tasks=5, samples=1, concurrency=1)
    assert server.number == 1 and summary.left == 4 and "401" in summary.stopped
    assert "key" not in summary.stopped.split() and not answers(tmp_path / "b")


def test_the_budget_is_never_passed(tmp_path):
    # a request reserves its prompt's bytes + 200, and uses 120
    limits = {"tokens": 4000}
    with ChatServer(delay_s=0.02) as server:
        summary = ask(
            server, tmp_path, tasks=5, samples=20, concurrency=20, plan={"max_tokens": 200},
            client={"budget": Budget(**limits)},
        )  # fmt: skip
        assert summary.tokens <= 4000 and summary.left > 0 and "tokens" in summary.stopped
        assert summary.tokens == 120 * summary.asked and summary.asked == server.number
        assert summary.asked >= (4000 - 2000) // 120  # it is used, too
        # the folder remembers: another run with the same limit asks nothing more
        again = ask(
            server, tmp_path, tasks=5, samples=20, plan={"max_tokens": 200},
            client={"budget": Budget(**limits)},
        )  # fmt: skip
        assert again.asked <= 1 and again.tokens <= 4000
        rest = ask(server, tmp_path, tasks=5, samples=20, plan={"max_tokens": 200})
    assert rest.complete and set(server.seen.values()) == {1} and len(server.seen) == 100


def test_a_budget_of_usd_and_one_of_requests(tmp_path):
    prices = Prices(10.0, 100.0)  # an answer: 100 * 10 + 20 * 100 = 3000 USD per million
    with ChatServer() as server:
        summary = ask(
            server, tmp_path / "a", tasks=1, samples=50, concurrency=4, plan={"max_tokens": 50},
            client={"budget": Budget(usd=0.05, prices=prices)},
        )  # fmt: skip
        assert summary.usd == pytest.approx(0.003 * summary.asked) and summary.usd <= 0.05
        assert 1 <= summary.asked < 17 and "USD" in summary.stopped
        summary = ask(
            server, tmp_path / "b", tasks=1, samples=9, client={"budget": Budget(requests=4)}
        )
        assert (summary.asked, summary.left, summary.usd) == (4, 5, None)


def test_what_was_paid_and_lost_counts(tmp_path):
    with ChatServer(lambda number, body, key: "no_choices" if number == 0 else "") as server:
        summary = ask(server, tmp_path, tasks=1, samples=1, plan={"max_tokens": 1000})
    sent = [row["reserved_tokens"] for row in ledger(tmp_path) if row["event"] == "sent"]
    assert len(sent) == 2 and summary.tokens == sent[0] + 120 and summary.requests == 2
    with Folder(tmp_path, json.loads((tmp_path / "generation.json").read_text())["settings"]) as f:
        assert f.spent() == (2, summary.tokens, 0.0)


def test_two_hundred_at_once_with_every_fault_lose_nothing(tmp_path):
    tried = {}

    def script(number, body, key):
        tried[key] = tried.get(key, -1) + 1
        if tried[key] or number % 3:
            return ""
        return ("429", "500", "hang_up", "no_json", "half_body", "no_choices")[number // 3 % 6]

    with ChatServer(script, delay_s=0.3) as server:
        summary = ask(
            server, tmp_path, tasks=4, samples=50, concurrency=200, client={"timeout_s": 60.0}
        )
    assert summary.complete and summary.asked == 200 and server.most_flying > 100
    found = answers(tmp_path)
    assert len(found) == 200 and set(server.answered.values()) == {1}
    assert {r["text"] for r in found.values()} == {answer_of(k) for k in server.answered}
    assert max(server.seen.values()) == 2  # a fault once, then the answer


DRIVER = """
import sys
from tests.bench.test_generate import suite
from kernelmill.bench.generation import Client, Plan, generate
plan = Plan(suite(4), "cpp", "zero_shot", 10)
generate(plan, lambda: Client("m", sys.argv[1], "key"), sys.argv[2], concurrency=5)
"""


def test_a_kill_loses_nothing_that_had_come(tmp_path):
    command = [sys.executable, "-c", DRIVER]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with ChatServer(delay_s=0.15) as server:
        kills = 0
        for wanted in (6, 15):
            process = subprocess.Popen([*command, server.url, str(tmp_path)], env=environment)
            deadline = time.monotonic() + 60
            while len(answers(tmp_path)) < wanted and time.monotonic() < deadline:
                time.sleep(0.02)
            kills += process.poll() is None
            process.send_signal(signal.SIGKILL)
            process.wait()
        assert kills == 2 and len(answers(tmp_path)) < 40
        before = dict(server.seen)
        there = {r["key"] for r in answers(tmp_path).values()}
        subprocess.run([*command, server.url, str(tmp_path)], env=environment, check=True)
    found = answers(tmp_path)
    assert len(found) == 40
    # what had come is not asked again; only what was in flight at a kill is
    assert all(server.seen[key] == before[key] for key in there)
    assert sum(server.seen.values()) - 40 <= 2 * 5
    with pytest.raises(FolderError, match="other questions: .*model 'm' .now 'other'"):
        Folder(tmp_path, {**head(tmp_path), "model": "other"})
    with Folder(tmp_path, head(tmp_path)) as folder:
        requests, tokens, _ = folder.spent()
    # each answer cost 120; what was cut off is booked as it had been reserved
    assert requests >= sum(server.seen.values()) and tokens >= 40 * 120


def head(folder):
    return json.loads((folder / "generation.json").read_text())["settings"]


def test_a_folder_is_of_one_question_and_of_one_process(tmp_path):
    with ChatServer() as server:
        ask(server, tmp_path)
        with pytest.raises(FolderError, match="temperature None .now 0.7"):
            ask(server, tmp_path, plan={"temperature": 0.7})
        with Folder(tmp_path, head(tmp_path)):
            with pytest.raises(FolderError, match="another process"):
                ask(server, tmp_path)
    (tmp_path / "requests.jsonl").open("a").write('{"event": "sent", "key')  # torn by a kill
    with Folder(tmp_path, head(tmp_path)) as folder:
        folder.log("sent", key="k", attempt=1, reserved_tokens=5, reserved_usd=0.0)
        assert folder.spent() == (5, 485, 0.0)


def test_the_cache_is_shared_by_folders(tmp_path):
    with ChatServer() as server:
        first = ask(server, tmp_path / "a", cache=tmp_path / "cache")
        second = ask(server, tmp_path / "b", cache=tmp_path / "cache")
        other = ask(server, tmp_path / "c", cache=tmp_path / "cache", plan={"temperature": 0.5})
    assert (first.asked, second.asked, second.cached, other.asked) == (4, 0, 4, 4)
    assert second.complete and second.tokens == 0
    texts = [{k: r["text"] for k, r in answers(tmp_path / name).items()} for name in "ab"]
    assert texts[0] == texts[1] and server.number == 8


def test_answers_without_code_are_samples_too(tmp_path):
    texts = iter(["I cannot.", "```python\nclass ModelNew: pass", "x"])
    with ChatServer(answer=lambda body, key: next(texts)) as server:
        summary = ask(server, tmp_path, tasks=1, samples=3, concurrency=1)
    assert summary.complete and summary.no_code == 2
    files = [(tmp_path / "t0" / f"sample_{i}.py").read_text() for i in range(3)]
    assert files == ["I cannot.", "class ModelNew: pass", "x"]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("```python\na = 1\n```\n\n```python\nclass ModelNew: 1\n```", "class ModelNew: 1\n"),
        ("<think>```\nclass ModelNew: 0\n```</think>```\nclass ModelNew: 1\n```",
         "class ModelNew: 1\n"),
        ("<think>```\nclass ModelNew: 0\n```", None),
        ("class ModelNew: 1\n", "class ModelNew: 1\n"),
        ("````md\n```python\nclass ModelNew: 1\n```\n````", "```python\nclass ModelNew: 1\n```\n"),
        ("#include <cmath>\nint x;", "#include <cmath>\nint x;"),
        ("```cpp\nint x;\n```\n```cpp\nlonger = 1;\n```", "longer = 1;\n"),
        ("Sorry.", None),
        ("", None),
    ],
)  # fmt: skip
def test_extract(text, code):
    assert extract(text) == code


def test_a_pace_is_kept(tmp_path):
    """30 requests at 1500 a minute take at least 29 * 40 ms."""
    with ChatServer() as server:
        start = time.monotonic()
        ask(server, tmp_path, tasks=1, samples=30, concurrency=30,
            client={"requests": Pace(1500)})  # fmt: skip
        assert time.monotonic() - start >= 29 * 0.04


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: Budget(usd=1.0), "prices"),
        (lambda: Budget(tokens=0), "tokens: want a limit above 0"),
        (lambda: Prices(-1.0), "prompt: want USD"),
        (lambda: Pace(0), "per_minute"),
        (lambda: Client(""), "model"),
        (lambda: Plan(suite(1), "cpp", samples=0), "samples must be at least 1, got 0"),
        (lambda: Plan(suite(1), "cpp", temperature=3.0), "temperature must be in"),
    ],
)
def test_bad_settings(make, told):
    with pytest.raises(ValueError, match=told):
        make()


def test_from_a_model_to_a_verdict(tmp_path):
    """The whole way on the command line: the server answers with the reference itself."""
    from kernelmill.cli import main

    task = load_suite("multikernelbench", tasks=["relu"])["relu"]
    right = task.source.replace("class Model(", "class ModelNew(")

    def answer(body, key):
        return f"```python\n{right}```"

    with ChatServer(answer=answer) as server:
        common = ["--task", "relu", "--model", "m", "--base-url", server.url, "--backend", "torch"]
        options = ["--strategy", "zero_shot", "-n", "2", "--no-cache", "--json"]
        assert main(["bench", "generate", str(tmp_path / "out"), *common, *options]) == 0
    store = f"sqlite:///{tmp_path / 'store.db'}"
    code = main(["bench", "run", str(tmp_path / "out"), "--no-timing", "--store", store, "--json"])
    assert code == 0
    from kernelmill.bench.store import BenchStore

    with BenchStore(store) as known:
        run = known.runs()[0]
        found = known.results(run.id)
    assert [r.correct for r in found] == [True, True]
    assert {(r.model, r.strategy, r.platform) for r in found} == {("m", "zero_shot", "torch")}
