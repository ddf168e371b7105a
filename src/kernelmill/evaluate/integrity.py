"""Has the candidate changed the process around it? Runs inside the candidate's process.

Everything here is advice with evidence, not the wall: the wall is that the judge compares raw
bytes in another process. What it finds is written to an alarm pipe at the moment it happens, which
a candidate cannot take back.
"""

from __future__ import annotations

import builtins
import ctypes
import gc
import json
import math
import os
import random
import signal
import socket
import statistics
import struct
import sys
import threading
import time
import types
from typing import Any

import numpy
import torch

_WATCHED: tuple[tuple[str, Any], ...] = (
    ("torch", torch),
    ("torch.Tensor", torch.Tensor),
    ("torch.nn", torch.nn),
    ("torch.nn.Module", torch.nn.Module),
    ("torch.nn.Parameter", torch.nn.Parameter),
    ("torch.nn.functional", torch.nn.functional),
    ("torch.autograd", torch.autograd),
    ("torch.testing", torch.testing),
    ("torch.random", torch.random),
    ("torch.cuda", torch.cuda),
    ("torch.cuda.Event", torch.cuda.Event),
    ("torch.ops.aten", torch.ops.aten),
    ("numpy", numpy),
    ("numpy.testing", numpy.testing),
    ("time", time),
    ("statistics", statistics),
    ("random", random),
    ("math", math),
    ("gc", gc),
    ("os", os),
    ("os.path", os.path),
    ("threading", threading),
    ("builtins", builtins),
    ("ctypes", ctypes),
    ("json", json),
    ("struct", struct),
    ("socket", socket),
)
_SYS = (
    "_getframe", "settrace", "setprofile", "exit", "modules", "addaudithook", "excepthook",
    "displayhook", "stdout", "stderr", "meta_path", "path_hooks", "setrecursionlimit",
)  # fmt: skip
_PLAIN = (types.FunctionType, types.BuiltinFunctionType, type, types.MethodDescriptorType,
          types.WrapperDescriptorType, types.GetSetDescriptorType, property, staticmethod,
          classmethod, types.MethodType, types.ModuleType)  # fmt: skip
# attributes that torch itself rebinds when its compiler is used
_LAZY = {"torch.compiler", "torch._dynamo", "torch._inductor", "torch.classes", "torch.distributed"}

_get_threads, _get_current_frames = threading.enumerate, sys._current_frames
_getframe, _write = sys._getframe, os.write
_vars, _id, _isinstance = vars, id, isinstance


def _layers() -> list[tuple[str, Any]]:
    return [
        (f"torch.nn.{name}", value) for name, value in _vars(torch.nn.modules).items()
        if _isinstance(value, type) and issubclass(value, torch.nn.Module)
    ]  # fmt: skip


def _identity(value: Any) -> Any:
    """What a function is and does: its object, its code and its defaults."""
    if _isinstance(value, types.FunctionType):
        return (_id(value), _id(value.__code__), _id(value.__defaults__), _id(value.__kwdefaults__))
    return _id(value)


def snapshot() -> dict[str, Any]:
    """Identity of every watched attribute."""
    found: dict[str, Any] = {}
    for name, owner in (*_WATCHED, *_layers()):
        for key, value in list(_vars(owner).items()):
            if _isinstance(value, _PLAIN) or (callable(value) and not key.startswith("__")):
                found[f"{name}.{key}"] = _identity(value)
    for key, value in list(sys.modules.items()):
        if key != "__main__" and not key.startswith("kernelmill"):
            found[f"sys.modules[{key!r}]"] = _id(value)
    for number in signal.valid_signals():
        found[f"signal handler {number}"] = str(signal.getsignal(number))
    found["signal timers"] = str([signal.getitimer(i) for i in (0, 1, 2)])
    found["gc.callbacks"] = [_id(c) for c in gc.callbacks]
    found["sys.meta_path (contents)"] = [_id(f) for f in sys.meta_path]
    found["torch.library"] = sorted(
        k for k in torch.library._impls
        if k.startswith("aten/") and k.endswith(("/CPU", "/CUDA", "ExplicitAutograd", "Implicit"))
    )  # fmt: skip
    for key in _SYS:
        found[f"sys.{key}"] = _id(getattr(sys, key))
    return found


def _by_compiler(name: str) -> bool:
    """Is what the name now means a wrapper that torch's own compiler has put there?"""
    owner, _, key = name.rpartition(".")
    value = _vars(dict(_WATCHED).get(owner, types)).get(key)
    code = getattr(value, "__code__", None)
    folder = os.path.dirname(torch.__file__)
    return code is not None and code.co_filename.startswith(
        (f"{folder}/_dynamo", f"{folder}/fx", f"{folder}/_inductor", f"{folder}/_functorch")
    )


def replaced(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Names that were there before and now mean something else, or are gone."""
    changed = [k for k, v in before.items() if after.get(k) != v and k not in _LAZY]
    return sorted(k for k in changed if not _by_compiler(k))


def global_state() -> dict[str, str]:
    """Process-wide switches that change results or speed."""
    readers = {
        "num_threads": torch.get_num_threads,
        "default_dtype": torch.get_default_dtype,
        "grad_enabled": torch.is_grad_enabled,
        "deterministic": torch.are_deterministic_algorithms_enabled,
        "matmul_precision": torch.get_float32_matmul_precision,
        "mkldnn": lambda: torch._C._get_mkldnn_enabled(),
        "autocast_cpu": lambda: torch.is_autocast_enabled("cpu"),
        "inference_mode": torch.is_inference_mode_enabled,
        "tf32": lambda: torch.backends.cuda.matmul.allow_tf32,
        "default_device": torch.get_default_device,
        "affinity": lambda: sorted(os.sched_getaffinity(0)),
        "recursion": sys.getrecursionlimit,
        "function_modes": torch._C._len_torch_function_stack,
        "dispatch_modes": torch._C._len_torch_dispatch_stack,
        "collector": gc.isenabled,
        "rounding": lambda: ctypes.CDLL(None).fegetround(),
        "environment": lambda: sorted(
            f"{k}={v}"
            for k, v in os.environ.items()
            if k.startswith(("LD_", "PYTHON", "OMP_", "MKL_", "KMP_", "GOMP_", "MALLOC_"))
        ),
    }
    state = {}
    for name, read in readers.items():
        try:
            state[name] = str(read())
        except Exception as error:  # mixed TF32 interfaces raise: a state of its own
            state[name] = type(error).__name__
    return state


def flushes_denormals() -> bool:
    return bool((torch.tensor([1e-40]) * torch.tensor([1.0])).item() == 0.0)


def python_threads() -> int:
    """Python threads alive, raw ``_thread`` ones included."""
    return max(len(_get_threads()), len(_get_current_frames()))


class Watch:
    """An audit hook that reports what the candidate's own files do to the process.

    ``prefix`` is the folder of the candidate's files. Reports go to ``alarm`` (a pipe) as lines
    ``CODE text``; each kind once. Audit hooks cannot be removed.
    """

    _EVENTS = {
        "sys._getframe": "frame_access",
        "sys._current_frames": "frame_access",
        "sys._current_exceptions": "frame_access",
        "gc.get_objects": "collector_scan",
        "gc.get_referrers": "collector_scan",
        "gc.get_referents": "collector_scan",
        "sys.settrace": "sandbox_violation",
        "sys.setprofile": "sandbox_violation",
        "socket.connect": "sandbox_violation",
        "socket.bind": "sandbox_violation",
        "socket.sendto": "sandbox_violation",
        "os.kill": "sandbox_violation",
        "os.killpg": "sandbox_violation",
        "os.exec": "sandbox_violation",
        "signal.pthread_kill": "sandbox_violation",
        "os.putenv": "",
    }
    _IN_CALL = {
        "os.fork": "processes_left",
        "os.forkpty": "processes_left",
        "os.posix_spawn": "processes_left",
        "os.system": "processes_left",
        "subprocess.Popen": "processes_left",
        "open": "file_access",
        "os.listdir": "file_access",
        "os.scandir": "file_access",
    }
    _ALLOWED_ROOTS = (
        "/proc/self/", "/proc/cpuinfo", "/proc/meminfo", "/sys/", "/dev/null", "/usr/", "/lib",
    )  # fmt: skip

    def __init__(self, prefix: str, alarm: int):
        self.prefix, self.alarm = prefix, alarm
        self.in_call = False
        self.seen: set[str] = set()
        self.on = False

    def install(self) -> None:
        local = threading.local()
        events, in_call_events, prefix = dict(self._EVENTS), dict(self._IN_CALL), self.prefix
        getframe, attribute = _getframe, "tb_frame"
        seen, alarm, write = self.seen, self.alarm, _write

        def report(code: str, text: str) -> None:
            if code not in seen:
                seen.add(code)
                write(alarm, f"{code} {text[:300]}\n".encode())

        readable = (prefix, "/tmp", sys.prefix, sys.base_prefix, *self._ALLOWED_ROOTS)
        # wherever it is installed: below the interpreter's prefix, or below /tmp
        judge = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + "/"
        own_sources = (prefix, "<")
        helpers = ("/inspect.py", "/traceback.py")

        compilers = ("/torch/_inductor/", "/torch/utils/cpp_extension", "/kernelmill/backends/",
                     "/triton/")  # fmt: skip

        def launched_by_candidate() -> bool:
            frame, found = getframe(2), False
            while frame is not None:
                name = frame.f_code.co_filename
                if any(part in name for part in compilers):
                    return False
                found = found or name.startswith(prefix)
                frame = frame.f_back
            return found

        def own_frame() -> bool:
            frame = getframe(2)
            while frame is not None and frame.f_code.co_filename.endswith(helpers):
                frame = frame.f_back
            return frame is not None and frame.f_code.co_filename.startswith(prefix)

        def hook(event: str, args: tuple) -> None:
            code = events.get(event)
            if event == "compile" and len(args) > 1 and isinstance(args[1], (str, bytes)):
                # text under the name of somebody else's file
                if not os.fsdecode(args[1]).startswith(own_sources):
                    code = "frame_access"
            if code is None:
                if event == "object.__getattr__" and len(args) > 1 and args[1] == attribute:
                    code = "frame_access"
                elif event in in_call_events:
                    code = in_call_events[event]
                    if not self.in_call:
                        if event != "open":
                            return
                        code = "sandbox_violation"
                else:
                    return
            if not code or not self.on or getattr(local, "busy", False):
                return
            local.busy = True
            try:
                by_candidate = launched_by_candidate if code == "processes_left" else own_frame
                if not by_candidate():
                    return
                if event == "open" and isinstance(args[0], (str, bytes)):
                    path = os.fsdecode(args[0])
                    if not self.in_call:
                        full = os.path.normpath(os.path.join(prefix, path))
                        if full.startswith(readable) and not full.startswith(
                            (judge, "/proc/self/fd")
                        ):
                            return
                    code = code if self.in_call else "sandbox_violation"
                report(code, f"{event} {args[:1]!r}")
            finally:
                local.busy = False

        sys.addaudithook(hook)


class Tracer:
    """Records exceptions that are raised inside the candidate's files and caught again."""

    _BENIGN = (StopIteration, GeneratorExit, LookupError, AttributeError, ImportError,
               StopAsyncIteration)  # fmt: skip

    def __init__(self, prefix: str):
        self.prefix = prefix
        self.caught: list[str] = []

    def _local(self, frame: Any, event: str, arg: Any) -> Any:
        if event == "exception" and not issubclass(arg[0], self._BENIGN):
            name = f"{arg[0].__name__}: {str(arg[1])[:200]}"
            self.caught.append(f"{name} (line {frame.f_lineno})")
        return self._local

    def _global(self, frame: Any, event: str, arg: Any) -> Any:
        if frame.f_code.co_filename.startswith(self.prefix):
            frame.f_trace_lines = False
            return self._local
        return None

    def __enter__(self) -> Tracer:
        sys.settrace(self._global)
        return self

    def __exit__(self, *_: Any) -> None:
        sys.settrace(None)
