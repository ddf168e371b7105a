"""The fork server: a process with torch loaded that forks a sandboxed worker on request.

Started by `Judge` as ``python -m kernelmill.evaluate.zygote FD``; a worker then costs a fork
instead of an interpreter start with its imports.
"""

from __future__ import annotations

import gc
import importlib
import importlib.util
import json
import os
import signal
import socket
import sys
import traceback

PRELOAD = (
    "torch", "numpy", "torch.utils.cpp_extension", "torch.utils.flop_counter", "torch.export",
    "torch._dynamo", "torch._inductor.compile_fx", "torch.testing",
    "torch.fx.experimental.proxy_tensor",
    "kernelmill.evaluate.worker", "kernelmill.evaluate.oracle", "kernelmill.backends",
)  # fmt: skip


def _preload() -> None:
    for name in PRELOAD:
        importlib.import_module(name)
    # what the compiler would rebind at its first use, so that it does not look like tampering
    sys.modules["torch._dynamo"].mutation_guard.install_generation_tagging_init()
    # the compiler shows progress with tqdm where it is installed, which starts a thread
    if importlib.util.find_spec("tqdm"):
        importlib.import_module("tqdm").tqdm.monitor_interval = 0


def _fork_worker(request: dict, fds: list[int], control: socket.socket) -> None:
    """Fork; the child goes into its jail and serves. fds: socket, status, output, alarm."""
    pid = os.fork()
    if pid:
        for fd in fds:
            os.close(fd)
        return
    connection, status, output, alarm = fds
    try:
        control.close()
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.close(output)
        null = os.open("/dev/null", os.O_RDONLY)
        os.dup2(null, 0)
        os.close(null)
        from kernelmill.evaluate import sandbox

        sandbox.enter(sandbox.Jail(**request["jail"]), status, (connection, alarm))
        sys.argv = [""]
        environment = request["environment"]
        os.environ.clear()
        os.environ.update(environment)
        role = importlib.import_module(f"kernelmill.evaluate.{request['role']}")
        role.serve(socket.socket(fileno=connection), alarm, request["options"])
    except BaseException:
        traceback.print_exc()
        os._exit(70)
    os._exit(0)


def main() -> None:
    control = socket.socket(fileno=int(sys.argv[1]))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # children are reaped by the kernel
    _preload()
    gc.collect()
    gc.freeze()
    control.sendall(b"ready")
    while True:
        message, fds, _, _ = socket.recv_fds(control, 1 << 20, 4)
        if not message:
            os._exit(0)
        _fork_worker(json.loads(message), fds, control)


if __name__ == "__main__":
    main()
