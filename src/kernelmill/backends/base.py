"""What a backend is. One file per backend; `kernelmill.backends.get` finds it by name."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True)
class Availability:
    """Can the backend be used here? ``reason`` says why not (or what is missing) and what to
    install; ``can_time`` is false where candidates can be checked but not timed."""

    usable: bool
    reason: str = ""
    can_time: bool = True
    version: str = ""


@dataclass(frozen=True)
class TensorSpec:
    name: str
    shape: tuple[int, ...]
    dtype: str  # "float32", ...


@dataclass(frozen=True)
class BuildSpec:
    """What a build may know of the task: never the reference, only names and shapes.

    ``state`` are the parameters and buffers in state_dict order (``parameters`` names those of
    them that are parameters); ``inputs`` the tensors among the default forward arguments;
    ``outputs`` the flattened outputs for them.
    """

    state: tuple[TensorSpec, ...] = ()
    parameters: tuple[str, ...] = ()
    outputs: tuple[TensorSpec, ...] = ()
    output_structure: str = "tensor"  # tensor | tuple | list
    extra: dict = field(default_factory=dict)
    inputs: tuple[TensorSpec, ...] = ()


class Backend(Protocol):
    """The interface of a backend. ``devices``, ``environment``, ``prepare`` and ``screened`` are
    optional."""

    name: str
    # True where a candidate of this backend claims to bring its own kernel: one that leaves all
    # the computing to the framework is then refused.
    brings_kernel: bool
    # device that a candidate's tensors are on: "cpu", "cuda" or "npu"
    device: str
    # how the names begin of what it uses below /dev; nothing else is seen in the sandbox
    devices: tuple[str, ...]

    def available(self) -> Availability: ...

    def prepare(self) -> None:
        """Import libraries that change the process, before the worker looks at what is in it."""
        ...

    def screened(self, source: str) -> tuple[str, list[str]]:
        """The Python text that is screened in place of a source of another form, and what is
        wrong with that form. Runs outside the sandbox: parses, executes nothing."""
        ...

    def build(self, source: str, workdir: Path, spec: BuildSpec) -> type:
        """Turn source into a ``ModelNew`` class. Runs in the candidate's sandbox; may compile
        in ``workdir``. Raises `BuildError`."""
        ...

    def synchronize(self) -> None:
        """Wait until everything that was launched on the device has ended."""
        ...

    def environment(self) -> dict[str, str]:
        """Variables that a worker must have *before* it imports what the backend builds with."""
        ...


class BuildError(Exception):
    """The candidate's source does not build: the compiler's or Python's own words.

    ``line`` is the line of the candidate's source that is to blame, where it is known.
    """

    def __init__(self, message: str, line: int | None = None):
        super().__init__(message)
        self.line = line

    def __reduce__(self):
        return type(self), (self.args[0], self.line)
