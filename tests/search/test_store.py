from __future__ import annotations

import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from kernelmill.search.errors import StoreError, StoreMismatch
from kernelmill.search.graph import Graph
from kernelmill.search.normalise import normal_hash
from kernelmill.search.store import Store
from kernelmill.search.types import Node
from kernelmill.tasks import Candidate, Task, Tolerance
from tests.search.fakes import TASK, accepted, rejected


def started(store: Store, run_id: str = "r1"):
    environment = store.put_environment({"cpu": "fake"})
    store.put_task(TASK)
    store.create_run(run_id, TASK.hash, environment, {"seed": 0}, b"state")
    return store.get_run(run_id)


def test_a_task_comes_back_as_it_was():
    store = Store(":memory:")
    task = Task(
        "t",
        "class Model: ...",
        "/a/b.py",
        {"N": 4},
        ("N",),
        Tolerance(1e-3, 8.0, None),
        True,
        "softmax",
        b"\x00\xff",
    )
    store.put_task(task)
    back = store.get_task(task.hash)
    assert back == task and back.hash == task.hash and back.payload == task.payload


def test_a_candidate_is_paid_for_once_per_environment():
    store = Store(":memory:")
    store.put_task(TASK)
    here, there = (store.put_environment({"cpu": c}) for c in "ab")
    candidate = Candidate("x = 1")
    assert store.find_evaluation(TASK.hash, candidate.hash, here) is None
    store.put_evaluation(TASK.hash, candidate, here, accepted(2.0))
    store.put_evaluation(TASK.hash, candidate, here, accepted(3.0))
    found = store.find_evaluation(TASK.hash, candidate.hash, here)
    assert found.fitness == 2.0 and found.environment == {"cpu": "fake"}
    assert found.errors == accepted(2.0).errors and found.timing == accepted(2.0).timing
    assert found.candidate_hash == candidate.hash and found.task_hash == TASK.hash
    assert store.find_evaluation(TASK.hash, candidate.hash, there) is None


def test_a_run_comes_back_node_by_node(tmp_path):
    store = Store(tmp_path / "runs.db")
    run = started(store)
    candidates = [Candidate(f"x = {i}", "torch", f"c{i}", {"i": i}) for i in range(4)]
    store.add_node(run, Node(0, candidates[0]), b"s0", 0.0, done=True)
    store.add_node(run, Node(1, candidates[1], None, (0,)), b"s1", 0.1, accepted(2.0), True)
    store.add_node(run, Node(2, candidates[2], None, (1, 0)), b"s2", 0.2)
    store.add_node(run, Node(3, candidates[3], None, (2,)), b"s3", 0.3)
    store.settle_node(run, Node(2, candidates[2]), rejected(), b"s4", 0.4)
    store.close()

    store = Store(f"sqlite:///{tmp_path}/runs.db")
    records = store.load_nodes("r1")
    assert [r.node.candidate for r in records] == candidates
    assert [dict(r.node.candidate.provenance) for r in records] == [{"i": i} for i in range(4)]
    assert [r.node.parents for r in records] == [(), (0,), (1, 0), (2,)]
    assert [r.pending for r in records] == [False, False, False, True]
    assert [r.reused for r in records] == [False, True, False, False]
    assert records[2].node.evaluation.reasons == rejected().reasons
    assert store.load_state("r1") == b"s4"
    assert store.get_run("r1").elapsed == 0.4


def test_locations(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert Store().path == "kernelmill-runs/store.db" and Path("kernelmill-runs").is_dir()
    Store(tmp_path / "new" / "deep" / "runs.db")
    assert (tmp_path / "new" / "deep" / "runs.db").exists()
    assert Store.open(store := Store("sqlite:///a.db")) is store
    assert Path("a.db").exists()


def broken(name: str, tmp_path: Path) -> str:
    file = tmp_path / "file"
    file.write_text("some text that is no database, long enough to have a header\n" * 20)
    if name == "a text file":
        return str(file)
    if name == "below a file":
        return str(file / "runs.db")
    if name == "a directory":
        return str(tmp_path)
    if name == "another database":
        with sqlite3.connect(tmp_path / "other.db") as connection:
            connection.execute("create table music (id integer)")
        return str(tmp_path / "other.db")
    if name == "another version":
        Store(tmp_path / "old.db").close()
        with sqlite3.connect(tmp_path / "old.db") as connection:
            connection.execute("update kernelmill_meta set value = '999'")
        return str(tmp_path / "old.db")
    if name == "a damaged database":
        with Store(tmp_path / "bad.db") as store:
            started(store)
        data = bytearray((tmp_path / "bad.db").read_bytes())
        for page in range(100, len(data)):
            data[page] = 0xA5
        (tmp_path / "bad.db").write_bytes(data)
        return str(tmp_path / "bad.db")
    return name


@pytest.mark.parametrize(
    ("location", "words"),
    [
        ("a text file", "not an SQLite database"),
        ("below a file", "cannot be made|cannot be read"),
        ("a directory", "is a directory"),
        ("another database", "music"),
        ("another version", "schema version 999"),
        ("a damaged database", "damaged"),
        ("nonsense://host/x", "nonsense"),
        ("://", "no SQLAlchemy URL"),
        ("", "empty"),
        ("postgresql+nodriver://u:secret@h/x", "nodriver"),
        ("mysql+oursql://u:secret@h/x", "oursql"),
    ],
)
def test_a_store_that_cannot_be_used_says_so(location, words, tmp_path):
    place = broken(location, tmp_path)
    before = Path(place).read_bytes() if Path(place).is_file() else None
    with pytest.raises(StoreError, match=words) as caught:
        Store(place)
    sentence = str(caught.value)
    assert "\n" not in sentence and sentence.startswith("store") and "secret" not in sentence
    assert before is None or Path(place).read_bytes() == before


def test_a_missing_driver_is_named():
    pytest.importorskip("sqlalchemy.dialects.oracle")
    with pytest.raises(StoreError, match="pip install cx_Oracle"):
        Store("oracle+cx_oracle://u:p@h/x")


def test_an_unknown_run_is_named():
    store = Store(":memory:")
    with pytest.raises(StoreMismatch, match="'r9'; it has no runs yet"):
        store.get_run("r9")
    started(store)
    with pytest.raises(StoreMismatch, match="'r9'; it has r1"):
        store.claim_run("r9")


def test_a_run_in_work_is_not_taken_over(tmp_path):
    location = tmp_path / "runs.db"
    code = (
        "import sys, time; from kernelmill.search.store import Store;"
        "from tests.search.test_store import started;"
        "started(Store(sys.argv[1])); print('up', flush=True); time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, location], stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout.readline() == "up\n"
        with pytest.raises(StoreError, match=f"process {other.pid}"):
            Store(location).claim_run("r1")
        other.kill()
        other.wait()
        assert Store(location).claim_run("r1").id == "r1"


WRITER = """
import sys
from kernelmill.search.store import Store
from kernelmill.search.types import Node
from kernelmill.tasks import Candidate
from tests.search.fakes import TASK, accepted
from tests.search.test_store import started
store = Store(sys.argv[1])
run = started(store, sys.argv[2])
for i in range(60):
    node = Node(i, Candidate(f"x = {i}"), None, (i - 1,) if i else ())
    store.add_node(run, node, b"s", float(i))
    store.settle_node(run, node, accepted(1.0 + i), b"s", float(i))
"""


def test_writers_at_the_same_time_lose_nothing(tmp_path):
    place = str(tmp_path / "runs.db")
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, place, f"r{i}"]) for i in range(3)]
    assert [w.wait() for w in writers] == [0, 0, 0]
    store = Store(place)
    for i in range(3):
        records = store.load_nodes(f"r{i}")
        assert [r.node.id for r in records] == list(range(60))
        assert not any(r.pending for r in records)
    with sqlite3.connect(place) as connection:
        assert connection.execute("select count(*) from evaluations").fetchone() == (60,)


def test_size_and_speed_of_a_large_run(tmp_path):
    """At most 3 KB per node beyond the sources; the time per node is printed, not asserted."""
    store = Store(tmp_path / "runs.db")
    run = started(store)
    source = "x = {}\n" + "# a line of a kernel that is not short\n" * 20
    count = 1000
    begin = time.perf_counter()
    for i in range(count):
        node = Node(i, Candidate(source.format(i), name=f"c{i}"), None, (i // 2,) if i else ())
        store.add_node(run, node, bytes(3000), float(i))
        store.settle_node(run, node, accepted(1.0 + i / 7), bytes(3000), float(i))
    written = time.perf_counter()
    graph = Graph()
    for record in store.load_nodes("r1"):
        graph.add(record.node)
    print(f"{(written - begin) / count * 1e3:.2f} ms per node")
    print(f"{(time.perf_counter() - written) / count * 1e6:.0f} us per node to load")
    assert len(graph) == count and graph.best == count - 1
    store.close()  # folds the write-ahead log into the file
    size = sum(p.stat().st_size for p in tmp_path.iterdir())
    assert size / count - len(source) < 3000


def test_normalised_sources():
    python = "import torch\nclass A:\n    x = 1\n"
    assert normal_hash(python, "torch") == normal_hash(
        "import torch  # why\n\n\nclass A:\n  x=1", "torch"
    )
    assert normal_hash(python, "torch") != normal_hash(python, "inductor")
    assert normal_hash(python, "torch") != normal_hash(python.replace("1", "2"), "torch")
    cpp = '#define N 4\nint f() { return N; } // "four"\nconst char* s = "// a  b";\n'
    assert normal_hash(cpp, "cpp") == normal_hash(
        '/* four */\n#define  N 4\nint f() { return N; }\nconst char* s = "// a  b";', "cpp"
    )
    assert normal_hash(cpp, "cpp") != normal_hash(cpp.replace("// a", "// b"), "cpp")
    assert normal_hash("broken (", "torch") != normal_hash("broken [", "torch")
