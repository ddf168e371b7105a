"""Which process works on a run, and is it still there?"""

from __future__ import annotations

import os
import socket
import time

FOREIGN_LEASE = 600.0  # seconds without a word after which another host's run counts as left


def _process_start(pid: int) -> str:
    """When a process began (clock ticks since boot): tells a reused pid from the same process;
    ``gone`` for one that only waits to be reaped."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
        return "gone" if fields[0] in "ZX" else fields[19]
    except (OSError, IndexError):
        return "0"


def this_process() -> str:
    pid = os.getpid()
    return f"{socket.gethostname()}:{pid}:{_process_start(pid)}"


def is_alive(owner: str, updated: float) -> bool:
    """``updated``: when it last wrote."""
    host, pid, start = owner.rsplit(":", 2)
    if host != socket.gethostname():
        return time.time() - updated < FOREIGN_LEASE  # cannot be looked at from here
    try:
        os.kill(int(pid), 0)
    except PermissionError:
        pass
    except (OSError, ValueError):
        return False
    return _process_start(int(pid)) == start
