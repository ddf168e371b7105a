"""The judge's handles on its processes: the fork server and the sandboxed workers."""

from __future__ import annotations

import errno
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from typing import Any

from kernelmill import backends
from kernelmill.evaluate import sandbox, wire

PAGE = os.sysconf("SC_PAGE_SIZE")


class WorkerDied(Exception):
    """The worker cannot answer any more; ``code`` says why in the vocabulary of `Reason`."""

    def __init__(self, code: str, message: str, output: str = ""):
        super().__init__(message)
        self.code, self.message, self.output = code, message, output


class Refused(Exception):
    """The worker answered that the candidate (or the task) is at fault."""

    def __init__(self, code: str, message: str, evidence: dict[str, Any]):
        super().__init__(message)
        self.code, self.message, self.evidence = code, message, evidence


def _backend_environment() -> dict[str, str]:
    """What backends need before their libraries are imported: torch itself imports some."""
    found: dict[str, str] = {}
    for name in backends.names():
        try:
            found |= backends.get(name).environment()
        except (ValueError, AttributeError):  # another package's, broken or without variables
            continue
    return found


def _environment(threads: int, home: str) -> dict[str, str]:
    """A neutral environment: nothing in it tells a candidate what is going on."""
    keep = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES", "CUDA_HOME",
            "CC", "CXX", "OPENBLAS_CORETYPE", "KERNELMILL_DEVICE")  # fmt: skip
    environment = {k: os.environ[k] for k in keep if k in os.environ}
    # the interpreter's own folder holds what it may call (ninja, ...)
    environment["PATH"] = os.pathsep.join(
        [os.path.dirname(sys.executable), environment.get("PATH", "/usr/bin:/bin")]
    )
    return environment | {
        "HOME": home, "TMPDIR": home, "USER": "candidate", "KERNELMILL_CACHE": f"{home}/cache",
        "TORCHINDUCTOR_CACHE_DIR": f"{home}/inductor", "TORCH_EXTENSIONS_DIR": f"{home}/extensions",
        "TRITON_CACHE_DIR": f"{home}/triton", "TORCHINDUCTOR_COMPILE_THREADS": "1",
        "OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads), "MAX_JOBS": "2",
        "OPENBLAS_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1", "MPLCONFIGDIR": home,
    }  # fmt: skip


class Zygote:
    """The fork server. Started at the first worker, ended by `close` or with this process."""

    def __init__(self, threads: int):
        self.threads = threads
        self.process: subprocess.Popen | None = None
        self.control: socket.socket | None = None

    def start(self) -> None:
        """Start without waiting until it is ready."""
        if self.process is not None and self.process.poll() is None:
            return
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        package = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
        environment = os.environ | _environment(self.threads, "/tmp") | _backend_environment()
        paths = [package, os.environ.get("PYTHONPATH", "")]
        environment["PYTHONPATH"] = os.pathsep.join(p for p in paths if p)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "kernelmill.evaluate.zygote", str(theirs.fileno())],
            pass_fds=(theirs.fileno(),),
            env=environment,
            stdin=subprocess.DEVNULL,
            cwd="/",
            start_new_session=True,
        )
        theirs.close()
        self.control = ours
        self.ready = False

    def fork(self, request: dict[str, Any], fds: list[int]) -> None:
        self.start()
        assert self.control is not None
        try:
            if not self.ready:
                self.control.settimeout(180)
                if self.control.recv(16) != b"ready":
                    raise OSError("it ended while it loaded torch")
                self.ready = True
            socket.send_fds(self.control, [json.dumps(request).encode()], fds)
        except OSError as error:
            self.close()
            raise RuntimeError(f"the evaluator's fork server does not answer: {error}") from error

    def close(self) -> None:
        if self.control is not None:
            self.control.close()
            self.control = None
        if self.process is not None:
            try:
                self.process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            self.process = None


def _children(pid: int) -> list[int]:
    found, pending = [], [pid]
    while pending:
        current = pending.pop()
        found.append(current)
        try:
            for task in os.listdir(f"/proc/{current}/task"):
                with open(f"/proc/{current}/task/{task}/children") as file:
                    pending += [int(p) for p in file.read().split()]
        except OSError:
            continue
    return found


def resident_bytes(pid: int) -> int:
    """Resident memory of a process tree, shared pages (libraries) not counted."""
    total = 0
    for child in _children(pid):
        try:
            with open(f"/proc/{child}/statm") as file:
                fields = file.read().split()
            total += (int(fields[1]) - int(fields[2])) * PAGE
        except (OSError, IndexError):
            continue
    return total


class WorkerProcess:
    """One sandboxed process. ``request`` sends a command and waits for its answer within limits
    on time, memory and printed text; any breach kills the whole sandbox."""

    def __init__(
        self,
        zygote: Zygote,
        role: str,
        *,
        level: str,
        limits: Any,
        options: dict[str, Any],
        readable: tuple[str, ...] = (),
        devices: tuple[str, ...] = (),
    ):
        self.limits = limits
        self.folder = tempfile.mkdtemp(prefix="kernelmill-")
        self.home = home = sandbox.SCRATCH if level == "namespaces" else self.folder
        reads_task = bool(readable)
        readable = (*sandbox.python_paths(), *readable)
        self.given = tuple(f"{path}/" for path in (*readable, *sandbox.SYSTEM))
        jail = sandbox.Jail(
            level=level, mount_point=self.folder, readable=readable,
            memory_bytes=limits.memory_bytes, file_bytes=limits.file_bytes, cpu_s=limits.cpu_s,
            processes=limits.processes, devices=devices, read_all=reads_task,
        )  # fmt: skip
        self.socket, theirs = socket.socketpair()
        status_read, status_write = os.pipe()
        output_read, output_write = os.pipe()
        alarm_read, alarm_write = os.pipe()
        fds = [theirs.fileno(), status_write, output_write, alarm_write]
        request = {
            "role": role, "jail": asdict(jail),
            "environment": _environment(zygote.threads, home),
            "options": {**options, "workdir": home},
        }  # fmt: skip
        try:
            zygote.fork(request, fds)
        finally:
            theirs.close()
            for fd in fds[1:]:
                os.close(fd)
        self.status_fd, self.output_fd, self.alarm_fd = status_read, output_read, alarm_read
        for fd in (status_read, output_read, alarm_read):
            os.set_blocking(fd, False)
        self.socket.setblocking(False)
        self.pid: int | None = None
        self.exit: int | None = None
        self.printed = 0
        self.output = b""
        self.alarms: list[tuple[str, str]] = []
        self.alarm_text = b""
        self.alarm_closed = False
        self.status_text = b""
        self.closed = False
        self.peak_bytes = 0
        self._next_memory_check = 0.0

    # -- watching ---------------------------------------------------------------------------

    def _drain(self, fd: int) -> tuple[bytes, bool]:
        """What is there, and whether the other end is closed."""
        data = b""
        while True:
            try:
                piece = os.read(fd, 1 << 16)
            except BlockingIOError:
                return data, False
            if not piece:
                return data, True
            data += piece
            if len(data) > 1 << 22:
                return data, False

    def _poll_pipes(self) -> None:
        text, _ = self._drain(self.status_fd)
        if text:
            self.status_text += text
            for line in self.status_text.decode(errors="replace").splitlines():
                name, _, value = line.partition(" ")
                if name == "pid":
                    self.pid = int(value)
                elif name == "exit":
                    self.exit = int(value)
        text, _ = self._drain(self.output_fd)
        self.printed += len(text)
        self.output = (self.output + text)[-8192:]
        text, closed = self._drain(self.alarm_fd)
        self.alarm_closed = self.alarm_closed or closed
        self.alarm_text += text
        *lines, self.alarm_text = self.alarm_text.split(b"\n")
        for line in lines[:50]:
            code, _, rest = line.decode(errors="replace").partition(" ")
            self.alarms.append((code, rest))
        if self.printed > self.limits.output_bytes:
            self._die("output_limit", f"printed more than {self.limits.output_bytes} bytes")

    def _check_memory(self) -> None:
        now = time.monotonic()
        if self.pid is None or now < self._next_memory_check:
            return
        self._next_memory_check = now + 0.1
        used = resident_bytes(self.pid)
        self.peak_bytes = max(self.peak_bytes, used)
        if used > self.limits.memory_bytes:
            self._die(
                "memory_limit",
                f"used {used >> 20} MiB of memory, more than {self.limits.memory_bytes >> 20} MiB",
            )

    def _wait(self, deadline: float | None) -> None:
        """Block until the socket is readable; raise when a limit is passed meanwhile."""
        while True:
            self._poll_pipes()
            left = wire.seconds_left(deadline)
            if left == 0.0:
                self._die("timeout", "did not answer in time")
            waiting = [self.socket, self.output_fd, self.status_fd]
            ready, _, _ = select.select(waiting, [], [], min(0.1, left) if left else 0.1)
            if self.socket in ready:
                return
            self._check_memory()
            if self.exit is not None and not ready:
                self._gone()

    def _die(self, code: str, message: str) -> None:
        self.kill()
        raise WorkerDied(code, f"the candidate {message}", self.text())

    def _gone(self) -> None:
        """The worker has ended: find out how, and say it."""
        end = time.monotonic() + 2.0
        while self.exit is None and time.monotonic() < end:
            try:
                self._poll_pipes()
            except WorkerDied:
                raise
            time.sleep(0.002)
        text = self.text()
        self.kill()
        code = self.exit
        if code == 70:
            raise WorkerDied("crashed", "the worker failed: " + text[-600:], text)
        if code is None:
            raise WorkerDied("crashed", "the candidate closed its connection to the judge", text)
        if code < 0:
            names = {s.value: s.name for s in signal.Signals}
            name = names.get(-code, str(-code))
            special = {"SIGXCPU": "cpu_limit", "SIGXFSZ": "file_limit"}
            kind = special.get(name, "crashed")
            if name == "SIGKILL":
                kind = "cpu_limit" if self.limits.cpu_s < 60 else "crashed"
            raise WorkerDied(kind, f"the candidate's process was ended by {name}", text)
        raise WorkerDied("crashed", f"the candidate ended its process (exit code {code})", text)

    def text(self) -> str:
        return self.output.decode(errors="replace")

    # -- talking ----------------------------------------------------------------------------

    def _send_all(self, value: Any, deadline: float | None) -> None:
        for piece in wire.pack(value, allow_pickle=True):
            view = memoryview(piece)
            while len(view):
                try:
                    view = view[self.socket.send(view) :]
                except BlockingIOError:
                    self._poll_pipes()
                    self._check_memory()
                    if wire.seconds_left(deadline) == 0.0:
                        self._die("timeout", "did not take its input in time")
                    select.select([self.output_fd], [self.socket], [], 0.1)
                    if self.exit is not None:
                        self._gone()

    def _fail(self, error: Exception) -> None:
        if isinstance(error, OSError) and error.errno not in (
            errno.EPIPE, errno.ECONNRESET, errno.EBADF,
        ):  # fmt: skip
            raise error
        if isinstance(error, wire.WireError) and "closed" not in str(error):
            self.kill()
            text = f"the candidate's process sent what is no answer: {error}"
            raise WorkerDied("protocol_error", text, self.text())
        self._gone()

    def send(self, op: str, args: dict[str, Any], seconds: float) -> tuple[str, float]:
        nonce = os.urandom(8).hex()
        deadline = time.monotonic() + seconds
        try:
            self._send_all({"op": op, "args": args, "nonce": nonce}, deadline)
        except OSError as error:
            self._fail(error)
        return nonce, deadline

    def receive(self, nonce: str, deadline: float, max_bytes: int = 1 << 36) -> Any:
        try:
            reply = wire.receive(
                self.socket, deadline=deadline, wait=self._wait, max_bytes=max_bytes
            )
        except (OSError, wire.WireError) as error:
            self._fail(error)
        self._poll_pipes()
        if not isinstance(reply, dict) or reply.get("nonce") != nonce:
            self.kill()
            raise WorkerDied(
                "protocol_error", "an answer to no question of the judge arrived", self.text()
            )
        if "ok" in reply:
            return reply["ok"]
        evidence = reply.get("evidence")
        raise Refused(
            str(reply.get("refused")), str(reply.get("message")),
            evidence if isinstance(evidence, dict) else {},
        )  # fmt: skip

    def request(self, op: str, *, seconds: float, max_bytes: int = 1 << 36, **args: Any) -> Any:
        """Send a command and return its result.

        Raises:
            Refused: the worker says that the candidate is at fault.
            WorkerDied: it broke a limit, crashed or broke the protocol.
        """
        nonce, deadline = self.send(op, args, seconds)
        return self.receive(nonce, deadline, max_bytes)

    def byte(self, deadline: float) -> tuple[bytes, int]:
        """One byte and when it came (ns of this process's clock)."""
        try:
            while True:
                try:
                    data = self.socket.recv(1)
                    break
                except BlockingIOError:
                    self._wait(deadline)
        except OSError as error:
            self._fail(error)
        now = time.perf_counter_ns()
        if not data:
            self._gone()
        return data, now

    def processes(self) -> int:
        """Processes alive in the sandbox besides its init and the worker."""
        return max(0, len(_children(self.pid)) - 2) if self.pid else 0

    def maps_own_code(self) -> bool:
        """Has the worker loaded a shared library that it has written itself, in its scratch folder
        or anywhere else that was not given to it?"""
        for pid in _children(self.pid)[1:2] if self.pid else ():
            try:
                with open(f"/proc/{pid}/maps") as file:
                    paths = [line.split(maxsplit=5)[5] for line in file if ".so" in line]
                return any(
                    path.startswith(self.home) or not path.startswith(self.given) for path in paths
                )
            except OSError:
                continue
        return False

    def busy_share(self) -> float:
        """CPU time that the sandbox uses while nothing is asked of it, as a share of one CPU."""
        time.sleep(0.03)  # OpenMP's own threads spin for a few milliseconds after a region
        before, start = self._cpu_ns(), time.perf_counter_ns()
        time.sleep(0.03)
        return (self._cpu_ns() - before) / (time.perf_counter_ns() - start)

    def _cpu_ns(self) -> int:
        total = 0
        for pid in _children(self.pid) if self.pid else ():
            try:
                for task in os.listdir(f"/proc/{pid}/task"):
                    with open(f"/proc/{pid}/task/{task}/schedstat") as file:
                        total += int(file.read().split()[0])
            except (OSError, ValueError, IndexError):
                continue
        return total

    def stop(self) -> None:
        self._signal(signal.SIGSTOP)

    def cont(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: int) -> None:
        for pid in reversed(_children(self.pid)) if self.pid else ():
            try:
                os.kill(pid, number)
            except (ProcessLookupError, PermissionError):
                continue

    def kill(self) -> None:
        """End the sandbox with everything in it."""
        if self.closed:
            return
        self.closed = True
        if self.pid is None:
            end = time.monotonic() + 5
            while self.pid is None and time.monotonic() < end:
                text, closed = self._drain(self.status_fd)
                self.status_text += text
                if b"pid " in self.status_text and b"\n" in self.status_text:
                    self.pid = int(self.status_text.split(b"pid ")[1].split(b"\n")[0])
                elif closed:
                    break
                time.sleep(0.002)
        if self.pid is not None:
            for pid in reversed(_children(self.pid)):
                try:
                    os.kill(pid, signal.SIGKILL)
                except (ProcessLookupError, PermissionError):
                    continue
        self.socket.close()
        for fd in (self.status_fd, self.output_fd, self.alarm_fd):
            os.close(fd)
        shutil.rmtree(self.folder, ignore_errors=True)
