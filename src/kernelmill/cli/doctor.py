"""``kernelmill doctor``."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from kernelmill import __version__
from kernelmill.backends.doctor import diagnose
from kernelmill.cli import show

SANDBOX = {
    "namespaces": "full: own file system, processes and users, no network, resource limits",
    "landlock": "partial: file access and system calls are filtered, resource limits",
    "limits": "weak: resource limits alone; judge only candidates that you trust",
}


def main(as_json: bool) -> int:
    facts = {"kernelmill": __version__, **diagnose()}
    facts["native"] = _native()
    facts["sandbox"] = _sandbox()
    if as_json:
        show.print_json(facts)
    else:
        _print(facts)
    return 0


def _native() -> dict[str, Any]:
    try:
        from kernelmill.ops import native_status

        status = native_status()
    except Exception as error:
        return {"available": False, "isa": "", "reason": f"{type(error).__name__}: {error}"}
    return {"available": status.available, "isa": status.isa, "reason": status.reason}


def _sandbox() -> dict[str, Any]:
    try:
        from kernelmill.evaluate import sandbox

        level, reason = sandbox.level()
    except Exception as error:
        return {"level": "none", "meaning": "", "reason": f"{type(error).__name__}: {error}"}
    return {"level": level, "meaning": SANDBOX.get(level, ""), "reason": reason}


def _print(facts: dict[str, Any]) -> None:
    out = show.console()
    cpu, compiler, native = facts["cpu"], facts["compiler"], facts["native"]
    made = _grid()
    made.add_row("kernelmill", f"{facts['kernelmill']} on Python {facts['python']['version']}")
    made.add_row("torch", f"{facts['torch']['version']}, {facts['torch']['threads']} threads")
    made.add_row("processor", f"{cpu['model']}, {cpu['cores']} cores, {cpu['isa']}")
    gpu = facts["gpu"]
    made.add_row("GPU", ", ".join(gpu["devices"]) if gpu["available"] else f"none: {gpu['reason']}")
    made.add_row("compiler", compiler["version"] or f"none ({compiler['command']})")
    made.add_row("CPU kernels", native["reason"])
    sandbox = facts["sandbox"]
    made.add_row("sandbox", f"{sandbox['level']} ({sandbox['meaning']})")
    if sandbox["reason"]:
        made.add_row("", f"stronger is not possible here: {sandbox['reason']}")
    out.print(made)

    out.print()
    out.print(Text("backends", style="bold"))
    for backend in facts["backends"]:
        mark = "usable" if backend["usable"] else "not usable"
        if backend["usable"] and not backend["can_time"]:
            mark = "no timing"
        _line(out, backend["name"], mark, backend["version"])
        for note in (backend["reason"], backend["cost"] and f"cost: {backend['cost']}"):
            if note:
                out.print(Text(f"{'':24}{note}"))

    out.print()
    out.print(Text("extras", style="bold"))
    for extra in facts["extras"]:
        how = "" if extra["installed"] else f" (pip install 'kernelmill[{extra['name']}]')"
        mark = "installed" if extra["installed"] else "missing"
        _line(out, extra["name"], mark, extra["purpose"] + how)


def _line(out: Console, name: str, mark: str, rest: str) -> None:
    style = {"usable": "green", "installed": "green", "not usable": "red"}.get(mark, "yellow")
    out.print(Text(f"  {name:10}"), Text(f"{mark:10}", style=style), Text(rest))


def _grid() -> Table:
    made = show.table("", "")
    made.show_header = False
    return made
