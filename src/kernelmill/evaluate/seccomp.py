"""A seccomp filter: the system calls that no kernel candidate needs are refused with EPERM."""

from __future__ import annotations

import ctypes
import errno
import platform
import struct

from kernelmill.evaluate.syscalls import PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, libc, prctl

_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_DENIED = {
    "x86_64": {
        "shmget": 29, "ptrace": 101, "syslog": 103, "setpriority": 141, "sched_setscheduler": 144,
        "pivot_root": 155, "acct": 163, "mount": 165,
        "umount2": 166, "swapon": 167, "reboot": 169, "sethostname": 170, "init_module": 175,
        "delete_module": 176, "quotactl": 179, "add_key": 248, "request_key": 249, "keyctl": 250,
        "unshare": 272, "perf_event_open": 298, "name_to_handle_at": 303,
        "open_by_handle_at": 304, "setns": 308, "process_vm_readv": 310,
        "process_vm_writev": 311, "finit_module": 313, "kexec_load": 246, "bpf": 321,
        "memfd_create": 319, "userfaultfd": 323, "io_uring_setup": 425, "open_tree": 428,
        "move_mount": 429,
        "fsopen": 430, "fsmount": 432, "pidfd_getfd": 438, "mount_setattr": 442,
    },
    "aarch64": {
        "shmget": 194, "name_to_handle_at": 264, "open_by_handle_at": 265,
        "memfd_create": 279, "ptrace": 117, "mount": 40, "umount2": 39,
        "pivot_root": 41, "unshare": 97, "setns": 268,
        "bpf": 280, "perf_event_open": 241, "process_vm_readv": 270, "process_vm_writev": 271,
        "add_key": 217, "request_key": 218, "keyctl": 219, "userfaultfd": 282,
        "io_uring_setup": 425, "pidfd_getfd": 438, "mount_setattr": 442, "kexec_load": 104,
        "setpriority": 140, "sched_setscheduler": 119,
    },
}  # fmt: skip
_SOCKET = {"x86_64": 41, "aarch64": 198}
_LD_ABS, _JEQ, _RET, _JGE = 0x20, 0x15, 0x06, 0x35
_ALLOW, _ERRNO, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
_AF_UNIX = 1


def available() -> bool:
    return platform.machine() in _ARCH


def _program(machine: str) -> bytes:
    def op(code: int, jt: int, jf: int, k: int) -> bytes:
        return struct.pack("HBBI", code, jt, jf, k)

    deny = _ERRNO | errno.EPERM
    steps = [op(_LD_ABS, 0, 0, 4), op(_JEQ, 1, 0, _ARCH[machine]), op(_RET, 0, 0, _KILL)]
    steps.append(op(_LD_ABS, 0, 0, 0))
    if machine == "x86_64":  # the x32 call numbers would slip past the table
        steps += [op(_JGE, 0, 1, 0x40000000), op(_RET, 0, 0, deny)]
    for number in sorted(_DENIED[machine].values()):
        steps += [op(_JEQ, 0, 1, number), op(_RET, 0, 0, deny)]
    steps += [  # sockets: only within the sandbox (AF_UNIX)
        op(_JEQ, 0, 3, _SOCKET[machine]),
        op(_LD_ABS, 0, 0, 16),
        op(_JEQ, 1, 0, _AF_UNIX),
        op(_RET, 0, 0, deny),
        op(_RET, 0, 0, _ALLOW),
    ]
    return b"".join(steps)


def install() -> None:
    """Put the filter on this process and all its children; cannot be taken off again."""
    program = _program(platform.machine())
    buffer = ctypes.create_string_buffer(program, len(program))

    class Fprog(ctypes.Structure):
        _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_void_p)]

    fprog = Fprog(len(program) // 8, ctypes.addressof(buffer))
    prctl(PR_SET_NO_NEW_PRIVS, 1)
    result = libc.prctl(PR_SET_SECCOMP, 2, ctypes.byref(fprog), 0, 0)
    if result != 0:
        raise OSError(ctypes.get_errno(), "seccomp filter refused")
