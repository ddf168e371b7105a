"""The few Linux system calls that Python does not offer, by ctypes."""

from __future__ import annotations

import ctypes
import os
import platform
import struct

libc = ctypes.CDLL(None, use_errno=True)

CLONE_NEWNS, CLONE_NEWCGROUP, CLONE_NEWUTS, CLONE_NEWIPC = 0x20000, 0x2000000, 0x4000000, 0x8000000
CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x10000000, 0x20000000, 0x40000000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC = 1, 2, 4, 8
MS_BIND, MS_REC, MS_PRIVATE = 4096, 16384, 1 << 18
MNT_DETACH = 2
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP = 1, 4, 38, 22
PR_SET_KEEPCAPS = 8
CAP_DAC_READ_SEARCH = 1 << 2
SYS_MOUNT_SETATTR = 442
SYS_LANDLOCK_CREATE, SYS_LANDLOCK_ADD, SYS_LANDLOCK_RESTRICT = 444, 445, 446
SYS_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}.get(platform.machine(), -1)


def check(result: int, what: str) -> int:
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, f"{what}: {os.strerror(error)}")
    return result


def unshare(flags: int) -> None:
    check(libc.unshare(flags), "unshare")


def mount(source: str, target: str, kind: str | None, flags: int, data: str = "") -> None:
    kind_bytes = kind.encode() if kind else None
    check(
        libc.mount(
            source.encode(), target.encode(), kind_bytes, ctypes.c_ulong(flags), data.encode()
        ),
        f"mount {target}",
    )


def umount(target: str) -> None:
    check(libc.umount2(target.encode(), MNT_DETACH), f"umount {target}")


def pivot_root(new: str, old: str) -> None:
    check(libc.syscall(SYS_PIVOT_ROOT, new.encode(), old.encode()), "pivot_root")


def set_mount_read_only(path: str) -> None:
    """mount_setattr(AT_RECURSIVE, read-only + nosuid), every mount below ``path`` included."""
    attributes = struct.pack("QQQQ", MS_RDONLY | MS_NOSUID, 0, 0, 0)
    at_fdcwd, at_recursive = -100, 0x8000
    check(
        libc.syscall(
            SYS_MOUNT_SETATTR, at_fdcwd, path.encode(), at_recursive, attributes, len(attributes)
        ),
        f"mount_setattr {path}",
    )


def prctl(option: int, a: int = 0, b: int = 0, c: int = 0, d: int = 0) -> None:
    check(libc.prctl(option, ctypes.c_ulong(a), ctypes.c_ulong(b), ctypes.c_ulong(c), d), "prctl")


def set_capabilities(mask: int) -> None:
    """The permitted and effective set of this process; nothing is inheritable."""
    header = struct.pack("Ii", 0x20080522, 0)
    check(libc.capset(header, struct.pack("6I", mask, mask, 0, 0, 0, 0)), "capset")


def landlock_abi() -> int:
    """Landlock's version, 0 where the kernel has none."""
    return max(0, libc.syscall(SYS_LANDLOCK_CREATE, None, ctypes.c_size_t(0), 1))


def landlock(readable: list[str], writable: list[str]) -> None:
    """Allow reading below ``readable``, everything below ``writable``, and no TCP."""
    abi = landlock_abi()
    if abi < 1:
        raise OSError("landlock is not offered by this kernel")
    all_access = (1 << 13) - 1
    if abi >= 2:
        all_access |= 1 << 13
    if abi >= 3:
        all_access |= 1 << 14
    if abi >= 5:
        all_access |= 1 << 15
    read_access = (1 << 0) | (1 << 2) | (1 << 3)  # execute, read file, read directory
    fields = [all_access]
    if abi >= 4:
        fields.append(3)  # no TCP bind, no TCP connect
    if abi >= 6:
        fields.append(3)  # no abstract sockets and no signals to the outside
    ruleset_bytes = struct.pack(f"{len(fields)}Q", *fields)
    ruleset = check(
        libc.syscall(SYS_LANDLOCK_CREATE, ruleset_bytes, ctypes.c_size_t(len(ruleset_bytes)), 0),
        "landlock_create_ruleset",
    )
    for paths, access in ((readable, read_access), (writable, all_access)):
        for path in paths:
            try:
                fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
            except OSError:
                continue
            allowed = access
            if not os.path.isdir(path):
                allowed &= (1 << 0) | (1 << 1) | (1 << 2) | (1 << 14)
            rule = struct.pack("=Qi", allowed & all_access, fd)
            check(libc.syscall(SYS_LANDLOCK_ADD, ruleset, 1, rule, 0), f"landlock {path}")
            os.close(fd)
    prctl(PR_SET_NO_NEW_PRIVS, 1)
    check(libc.syscall(SYS_LANDLOCK_RESTRICT, ruleset, 0), "landlock_restrict_self")
    os.close(ruleset)
