"""Candidates that attack the machine: contained, a clear verdict, and the judge goes on."""

from __future__ import annotations

import os
import pickle
import socket
import subprocess
import threading
import time
from pathlib import Path

import pytest

from kernelmill.evaluate import Judge, Settings
from kernelmill.tasks import Candidate, Task
from tests.evaluate.suite import hostile, reaching

TASK = Task("relu", hostile.TASK, axes=())
SECRET = "the-secret-of-the-suite"
MIB = 1 << 20
HOME_SECRET = Path.home() / ".kernelmill-suite-secret"
PLANTED = [
    Path.home() / ".kernelmill-suite-planted",
    *(Path(folder) / "kernelmill-suite-planted" for folder in ("/tmp", "/var/tmp", "/dev/shm")),
]


@pytest.fixture(scope="module")
def judge():
    """Small limits; 6 s to build, so that g++ fits in on a busy machine."""
    limits = Settings(
        timing=False, threads=1, wall_s=1.5, build_s=6, cpu_s=60, memory_bytes=1000 * MIB,
        processes=48, file_bytes=32 * MIB, output_bytes=64 << 10, seeds=2,
    )  # fmt: skip
    with Judge(limits) as judge:
        yield judge


@pytest.fixture(scope="module")
def impatient():
    """The same with 1.5 s to build, for candidates that never get there."""
    with Judge(Settings(timing=False, threads=1, wall_s=1.5, build_s=1.5, seeds=2)) as judge:
        yield judge


@pytest.fixture
def isolated(judge):
    if judge.level == "limits":
        pytest.skip(f"no isolation on this machine: {judge.why_not_stronger}")


def descendants() -> set[int]:
    found, pending = set(), [os.getpid()]
    while pending:
        pid = pending.pop()
        try:
            for task in os.listdir(f"/proc/{pid}/task"):
                with open(f"/proc/{pid}/task/{task}/children") as file:
                    pending += [int(p) for p in file.read().split()]
        except OSError:
            continue
        found.add(pid)
    return found


def is_well(judge):
    """An honest candidate is accepted: the judge is as good as new."""
    answer = judge.evaluate(TASK, Candidate(hostile.HONEST))
    assert answer.accepted, answer.reasons


def gone(before: set[int]) -> bool:
    """Do all processes that came after ``before`` end? What was killed takes a moment to go."""
    for _ in range(200):
        if descendants() <= before:
            return True
        time.sleep(0.02)
    return False


def attack(judge, source, codes, backend=None):
    """The verdict on a hostile candidate, with what must hold for every one of them."""
    judge.session(TASK).reference_racer()
    time.sleep(0.05)
    before = descendants()
    answer = judge.evaluate(TASK, Candidate(source, backend or backend_of(source)))
    text = answer.to_json()
    assert "ESCAPED" not in text, text
    assert SECRET not in text, text
    if codes:
        assert answer.status in ("reject", "error"), answer
        assert answer.reasons[0].code in codes, answer.reasons
    assert answer.reasons == () or all(r.code and r.message for r in answer.reasons)
    assert gone(before), f"processes are left over: {descendants() - before}"
    is_well(judge)
    return answer


def backend_of(source: str) -> str:
    return "cpp" if "compile_cpp" in source else "torch"


def cases(group):
    return [pytest.param(*value, id=name) for name, value in group.items()]


SLOW_BUILDS = ("loop_import", "sleep_import", "sleep_init")


@pytest.mark.parametrize(("source", "codes"), [
    pytest.param(*value, id=name) for name, value in hostile.TIME_AND_SPACE.items()
    if name not in SLOW_BUILDS
])  # fmt: skip
def test_time_and_space_are_limited(source, codes, judge):
    attack(judge, source, codes)


@pytest.mark.parametrize("name", SLOW_BUILDS)
def test_builds_are_limited(name, impatient):
    attack(impatient, *hostile.TIME_AND_SPACE[name])


@pytest.mark.parametrize(("source", "codes"), cases(hostile.CRASHES))
def test_crashes_are_verdicts(source, codes, judge):
    attack(judge, source, codes)


@pytest.mark.parametrize(("source", "codes"), cases(reaching.KILLS))
def test_nobody_else_is_hurt(source, codes, judge, isolated):
    attack(judge, source.replace("JUDGE", str(os.getpid())), codes)


@pytest.fixture
def outside():
    """A folder with a secret that is neither in the system's temporary folder nor in a package."""
    folder = Path(__file__).parent / ".suite-outside"
    folder.mkdir(exist_ok=True)
    (folder / "secret.txt").write_text(SECRET)
    HOME_SECRET.write_text(SECRET)
    yield folder
    HOME_SECRET.unlink(missing_ok=True)
    for path in [*folder.iterdir(), *PLANTED]:
        path.unlink(missing_ok=True)
    folder.rmdir()


@pytest.mark.parametrize("place", ["repository", "temporary"])
@pytest.mark.parametrize(("source", "codes"), cases(reaching.FILES))
def test_files_are_out_of_reach(source, codes, place, judge, isolated, outside, tmp_path, request):
    if place == "temporary":
        if "OUTSIDE" not in source or "compile_cpp" in source:
            pytest.skip("does not depend on the place")
        (tmp_path / "secret.txt").write_text(SECRET)
        outside = tmp_path
    text = source.replace("OUTSIDE", str(outside)).replace("HOME", str(Path.home()))
    attack(judge, text, codes)
    assert (outside / "secret.txt").read_text() == SECRET
    assert [path for path in PLANTED if path.exists()] == []
    assert not (outside / "planted.txt").exists()
    packages = [Path(__import__(name).__file__).parent for name in ("kernelmill", "torch")]
    planted = [folder / "suite_planted.py" for folder in packages]
    found = [path for path in planted if path.exists()]
    for path in found:
        path.unlink()
    assert not found


@pytest.fixture
def listener():
    """A TCP and UDP port and an abstract Unix socket that note who comes."""
    heard, sockets = [], []
    tcp = socket.create_server(("127.0.0.1", 0))
    port = tcp.getsockname()[1]
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.bind(("127.0.0.1", port))
    unix = socket.socket(socket.AF_UNIX)
    unix.bind(f"\0kernelmill-suite-{port}")
    unix.listen()

    def wait(name, receive):
        try:
            receive()
            heard.append(name)
        except OSError:
            return

    threads = []
    for name, end, receive in (("tcp", tcp, tcp.accept), ("udp", udp, lambda: udp.recv(9)),
                               ("unix", unix, unix.accept)):  # fmt: skip
        end.settimeout(30)
        sockets.append(end)
        threads.append(threading.Thread(target=wait, args=(name, receive), daemon=True))
        threads[-1].start()
    yield port, heard
    for end in sockets:
        try:
            end.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        end.close()


@pytest.mark.parametrize(("source", "codes"), cases(reaching.NETWORK))
def test_network_is_out_of_reach(source, codes, judge, isolated, listener):
    port, heard = listener
    attack(judge, source.replace("PORT", str(port)), codes)
    assert heard == []


@pytest.mark.parametrize(("source", "codes"), cases(reaching.COMPILER))
def test_compiler_bombs(source, codes, judge):
    attack(judge, source, codes)


@pytest.mark.parametrize("answer", reaching.REPLIES.values(), ids=reaching.REPLIES)
def test_forged_answers(answer, judge):
    """Whatever the candidate's process sends, the judge does not stumble over it."""
    answer = attack(judge, reaching.reply_game(answer), {})
    assert not answer.accepted


@pytest.mark.parametrize("source", hostile.REFUSED_TEXTS.values(), ids=hostile.REFUSED_TEXTS)
def test_strange_texts_are_refused(source, judge):
    answer = judge.evaluate(TASK, Candidate(source))
    assert answer.status == "error"
    assert answer.reasons[0].code in ("syntax_error", "no_model_new", "build_failed")
    is_well(judge)


@pytest.mark.parametrize("source", hostile.ACCEPTED_TEXTS.values(), ids=hostile.ACCEPTED_TEXTS)
def test_strange_texts_are_accepted(source, judge):
    answer = judge.evaluate(TASK, Candidate(source))
    assert answer.accepted, answer.reasons


def test_build_cache_cannot_be_poisoned(judge, isolated):
    """A candidate that overwrites every library in the cache changes nobody else's kernel."""
    poison = hostile.HONEST_CPP.replace(
        "class ModelNew",
        "import glob, hashlib, os\n"
        "from kernelmill.backends.native import cache_folders\n"
        "bad = compile_cpp('extern \"C\" void relu(const float* x, float* y, long n) {}')\n"
        "data = open(bad._name, 'rb').read()\n"
        "for folder in [*cache_folders(), os.path.dirname(bad._name)]:\n"
        "    for path in glob.glob(f'{folder}/*.so'):\n"
        "        os.unlink(path)\n"
        "        open(path, 'wb').write(data)\n\nclass ModelNew",
    )
    assert judge.evaluate(TASK, Candidate(hostile.HONEST_CPP, "cpp")).accepted
    judge.evaluate(TASK, Candidate(poison, "cpp"))
    answer = judge.evaluate(TASK, Candidate(hostile.HONEST_CPP, "cpp"))
    assert answer.accepted, answer.reasons


LOADING = """
import ctypes, pathlib, shutil
import torch
given = pathlib.Path({given!r})
ctypes.CDLL(str(given) if not {copy} else shutil.copy(given, pathlib.Path("own.so").absolute()))
class ModelNew(torch.nn.Module):
    def forward(self, x):
        return x.relu()
"""


@pytest.mark.parametrize("copy", [False, True])
def test_a_library_below_tmp_that_was_given_is_not_the_candidates_own(
    judge, isolated, tmp_path, copy
):
    given = tmp_path / "given.so"
    source = tmp_path / "given.c"
    source.write_text("int one(void) { return 1; }\n")
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", given, source], check=True)
    options = {"threads": 1, "seed": 0, "trace": False}
    worker = judge.spawn("worker", options, (str(tmp_path),))
    try:
        text = LOADING.format(given=str(given), copy=copy)
        worker.request("build", seconds=60, source=text, backend="torch", spec=pickle.dumps(None))
        assert worker.maps_own_code() is copy
    finally:
        worker.kill()


def test_the_judges_files_are_not_read_wherever_they_are(judge, isolated, tmp_path):
    """The interpreter's own folder may be read, and a package may be installed in it."""
    text = hostile.HONEST.replace(
        "import torch\n", "import torch, kernelmill\nopen(kernelmill.__file__).read()\n", 1
    )
    assert text != hostile.HONEST
    answer = judge.evaluate(TASK, Candidate(text))
    assert answer.status == "reject" and answer.reasons[0].code == "sandbox_violation"
