"""The sandbox: what a process may see and spend once it runs code that we do not trust.

Three levels, the strongest that the machine offers is taken:

``namespaces``
    own mount, process, network, IPC and host-name namespaces (what bubblewrap sets up, done here
    by system calls so that a process that has torch loaded can be put in after a fork): a root
    that holds only the Python installation, the compiler and system libraries, all read-only; a
    private scratch tmpfs; no network; an own unprivileged user; seccomp; resource limits.
``landlock``
    landlock rules for files, TCP and signals, seccomp and resource limits.
``limits``
    resource limits only. Python-level cheats are still caught, hostile native code is not.
"""

from __future__ import annotations

import functools
import os
import resource
import shutil
import signal
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from kernelmill.evaluate import seccomp
from kernelmill.evaluate import syscalls as sc

LEVELS = ("namespaces", "landlock", "limits")
SCRATCH = "/tmp/.scratch"
SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
_ETC = (
    "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "alternatives", "localtime", "nsswitch.conf",
    "OpenCL",
)  # fmt: skip
_DEVICES = ("null", "zero", "full", "random", "urandom")
_NAMESPACES = (
    sc.CLONE_NEWNS | sc.CLONE_NEWPID | sc.CLONE_NEWNET | sc.CLONE_NEWIPC | sc.CLONE_NEWUTS
    | sc.CLONE_NEWCGROUP
)  # fmt: skip


@dataclass(frozen=True)
class Jail:
    """What `enter` sets up. ``readable`` are folders and files seen read-only besides the
    system's; ``devices`` the first letters of what may be used below /dev; ``mount_point`` an
    empty folder; sizes in bytes, times in seconds."""

    level: str
    mount_point: str
    readable: tuple[str, ...] = ()
    memory_bytes: int = 1 << 34
    file_bytes: int = 1 << 30
    cpu_s: float = 900.0
    processes: int = 64
    devices: tuple[str, ...] = ()
    read_all: bool = False


def python_paths() -> tuple[str, ...]:
    """Folders that the running interpreter needs: its prefixes, its site-packages and this
    package; never the working directory."""
    import kernelmill

    package = os.path.dirname(os.path.abspath(kernelmill.__file__))
    paths = {package, sys.prefix, sys.base_prefix, sys.exec_prefix}
    paths.add(os.path.dirname(os.path.realpath(sys.executable)))
    for entry in sys.path:
        parts = Path(entry).parts
        if entry and os.path.isdir(entry) and {"site-packages", "dist-packages"} & set(parts):
            paths.add(entry)
    paths = {os.path.abspath(p) for p in paths if p and os.path.isabs(p)}
    paths = {p for p in paths if p != "/"}
    keep = []
    for path in sorted(paths):
        if not any(path == k or path.startswith(k + "/") for k in (*keep, *SYSTEM)):
            keep.append(path)
    return tuple(keep)


def _limit(kind: int, value: int) -> None:
    _, hard = resource.getrlimit(kind)
    if hard != resource.RLIM_INFINITY:
        value = min(value, hard)
    resource.setrlimit(kind, (value, value))


def _virtual_bytes() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[0]) * resource.getpagesize()


def _set_limits(jail: Jail, count_processes: bool) -> None:
    _limit(resource.RLIMIT_AS, _virtual_bytes() + jail.memory_bytes)
    _limit(resource.RLIMIT_FSIZE, jail.file_bytes)
    _limit(resource.RLIMIT_CPU, int(jail.cpu_s) + 1)
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_NOFILE, 1024)
    if count_processes:
        _limit(resource.RLIMIT_NPROC, jail.processes)


def _present(devices: tuple[str, ...]) -> list[str]:
    """The names below /dev that begin like one of ``devices``."""
    return [name for name in os.listdir("/dev") if name.startswith(tuple(devices))]


def _bind(source: str, root: str) -> None:
    target = root + source
    if os.path.isdir(source):
        os.makedirs(target, exist_ok=True)
    else:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        open(target, "a").close()
    sc.mount(source, target, None, sc.MS_BIND | sc.MS_REC)


def _build_root(jail: Jail) -> None:
    """A new root of read-only binds, a scratch tmpfs, /proc and a minimal /dev; then move in."""
    root = jail.mount_point
    sc.mount("none", "/", None, sc.MS_REC | sc.MS_PRIVATE)
    sc.mount("tmpfs", root, "tmpfs", sc.MS_NOSUID, "size=4m,mode=0755")
    for path in SYSTEM:
        if os.path.islink(path):
            os.symlink(os.readlink(path), root + path)
        elif os.path.isdir(path):
            _bind(path, root)
    extra = [f"/etc/{name}" for name in _ETC]
    extra += ["/sys/devices/system", *jail.readable]
    devices = _present(jail.devices)
    if devices:
        extra += ["/sys", "/run/nvidia-persistenced"]
    late = [p for p in extra if p.startswith(("/tmp/", "/dev/shm/"))]  # below what is private
    for path in extra:
        if path in late or not os.path.exists(path):
            continue
        if not os.path.exists(root + path) or (os.path.isdir(path) and not os.listdir(root + path)):
            _bind(path, root)
    with open(f"{root}/etc/passwd", "w") as file:
        file.write("candidate:x:65534:65534:candidate:/tmp:/bin/sh\n")
    with open(f"{root}/etc/group", "w") as file:
        file.write("candidate:x:65534:\n")
    sc.set_mount_read_only(root)

    # what may be written is mounted after the root has become read-only
    sc.mount("none", root, None, 0x20 | sc.MS_BIND)  # remount read-write for the mount points
    for name in ("proc", "dev", "tmp", "old"):
        os.makedirs(f"{root}/{name}", exist_ok=True)
    sc.mount("proc", f"{root}/proc", "proc", sc.MS_NOSUID | sc.MS_NODEV | sc.MS_NOEXEC)
    sc.mount("tmpfs", f"{root}/dev", "tmpfs", sc.MS_NOSUID, "size=64k,mode=0755")
    for name in _DEVICES:
        _bind(f"/dev/{name}", root)
    for name in devices:
        _bind(f"/dev/{name}", root)
    os.makedirs(f"{root}/dev/shm")
    os.symlink("/proc/self/fd", f"{root}/dev/fd")
    size = f"size={jail.file_bytes},mode=1777"
    sc.mount("tmpfs", f"{root}/dev/shm", "tmpfs", sc.MS_NOSUID | sc.MS_NODEV, size)
    sc.mount("tmpfs", f"{root}/tmp", "tmpfs", sc.MS_NOSUID | sc.MS_NODEV, size)
    for path in late:
        if os.path.exists(path):
            _bind(path, root)
            sc.set_mount_read_only(root + path)
    os.makedirs(f"{root}{SCRATCH}", mode=0o777, exist_ok=True)
    os.chmod(f"{root}{SCRATCH}", 0o777)
    sc.pivot_root(root, f"{root}/old")
    os.chdir("/")
    sc.umount("/old")
    os.rmdir("/old")
    sc.mount("none", "/", None, 0x20 | sc.MS_BIND | sc.MS_RDONLY | sc.MS_NOSUID)
    sc.mount("none", "/dev", None, 0x20 | sc.MS_BIND | sc.MS_RDONLY | sc.MS_NOSUID)


def _become_nobody(read_all: bool) -> None:
    """Take a user id that nobody else has, so that the process limit counts this sandbox only.
    ``read_all``: what is visible may be read whoever owns it (a task's file in a private folder);
    the calls that would reach beyond the visible with that right are refused by seccomp."""
    rights = 0
    if os.geteuid() == 0:
        if read_all and seccomp.available():
            rights = sc.CAP_DAC_READ_SEARCH
            sc.prctl(sc.PR_SET_KEEPCAPS, 1)
        for uid in (700_000_000 + os.getppid() + int.from_bytes(os.urandom(3), "big"), 65534):
            try:
                os.setgroups([])
                os.setresgid(uid, uid, uid)
                os.setresuid(uid, uid, uid)
                break
            except OSError:
                continue
        else:
            raise OSError("no unprivileged user id can be taken")
    sc.set_capabilities(rights)
    sc.prctl(sc.PR_SET_DUMPABLE, 1)


def _report(fd: int, text: str) -> None:
    os.write(fd, text.encode() + b"\n")


def _wait_and_report(child: int, fd: int) -> None:
    """Reap until ``child`` has ended, report how, and end."""
    while True:
        pid, status = os.wait()
        if pid == child:
            break
    code = os.waitstatus_to_exitcode(status)
    _report(fd, f"exit {code}")
    os._exit(0)


def _map_user(uid: int, gid: int) -> None:
    maps = {"setgroups": "deny", "uid_map": f"{uid} {uid} 1", "gid_map": f"{gid} {gid} 1"}
    for name, text in maps.items():
        with open(f"/proc/self/{name}", "w") as file:
            file.write(text)


def enter(jail: Jail, status_fd: int, keep: tuple[int, ...]) -> None:
    """Go in; only the innermost process returns. ``status_fd`` receives the lines ``pid N``
    (what to kill) and ``exit CODE``; ``keep`` are the descriptors that the worker may have."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sc.prctl(sc.PR_SET_PDEATHSIG, signal.SIGKILL)
    os.setsid()
    if jail.level == "namespaces":
        uid, gid = os.geteuid(), os.getegid()
        flags = _NAMESPACES | (sc.CLONE_NEWUSER if uid != 0 else 0)
        sc.unshare(flags)
        if uid != 0:
            _map_user(uid, gid)
        init = os.fork()
        if init:
            _close_all_but((status_fd,))
            _report(status_fd, f"pid {init}")
            os.waitpid(init, 0)
            os._exit(0)
        sc.prctl(sc.PR_SET_PDEATHSIG, signal.SIGKILL)
        _build_root(jail)
    else:
        _report(status_fd, f"pid {os.getpid()}")
    worker = os.fork()
    if worker:
        _close_all_but((status_fd,))
        _wait_and_report(worker, status_fd)
    _close_all_but(keep)
    os.chdir(SCRATCH if jail.level == "namespaces" else jail.mount_point)
    if jail.level == "limits":
        _set_limits(jail, count_processes=False)
        return
    if jail.level == "landlock":
        if os.geteuid() == 0:
            os.chmod(jail.mount_point, 0o777)
        # without a file system of its own, another user may not even reach the interpreter
        reachable = os.geteuid() != 0 or all(_open_to_all(path) for path in jail.readable)
        _set_limits(jail, count_processes=os.geteuid() == 0 and reachable)
        if reachable:
            _become_nobody(jail.read_all)
        else:
            sc.set_capabilities(0)
        readable = [*SYSTEM, *jail.readable, *(f"/etc/{n}" for n in _ETC), "/proc", "/sys"]
        devices = [f"/dev/{n}" for n in (*_DEVICES, *_present(jail.devices))]
        sc.landlock(readable, [jail.mount_point, *devices])
    else:
        _set_limits(jail, count_processes=True)
        _become_nobody(jail.read_all)
    if seccomp.available():
        seccomp.install()


def _open_to_all(path: str) -> bool:
    """May any user walk down to ``path``?"""
    parents = Path(path).resolve().parents
    return all(os.stat(p).st_mode & 0o001 for p in parents)


def _close_all_but(keep: tuple[int, ...]) -> None:
    low = 3
    for fd in sorted(k for k in keep if k > 2):
        os.closerange(low, fd)
        low = fd + 1
    os.closerange(low, 4096)


def _try_level(name: str) -> str:
    """Enter a level in a forked child; the empty string where it worked, else why not."""
    read, write = os.pipe()
    folder = tempfile.mkdtemp(prefix="kernelmill-probe-")
    pid = os.fork()
    if pid == 0:
        try:
            enter(Jail(name, folder, python_paths()), write, (write,))
            os.write(write, b"ok\n")
        except BaseException as error:
            os.write(write, f"no {error}\n".encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as file:
        text = file.read()
    os.waitpid(pid, 0)
    shutil.rmtree(folder, ignore_errors=True)
    if "ok" in text.split("\n"):
        return ""
    return next((t[3:] for t in text.split("\n") if t.startswith("no ")), "the probe died")


@functools.cache
def level() -> tuple[str, str]:
    """The strongest level that works here, and why the stronger ones do not.

    Example:
        >>> level()[0] in LEVELS
        True
    """
    if sys.platform != "linux":
        return "limits", f"sandboxing needs Linux, this is {sys.platform}"
    why = []
    for name in LEVELS[:-1]:
        problem = _try_level(name)
        if not problem:
            return name, "; ".join(why)
        why.append(f"{name}: {problem}")
    return "limits", "; ".join(why)
