"""What a judge may spend, and how strict it is."""

from __future__ import annotations

from dataclasses import dataclass

MIB = 1 << 20
GIB = 1 << 30
POLICIES = ("standard", "strict")


@dataclass(frozen=True)
class Settings:
    """Limits and choices of a `Judge`. Times in seconds, sizes in bytes.

    Args:
        timing: time the candidate once it is found right.
        backward: compare gradients too; ``None``: as the task says.
        require_sandbox: refuse to run where the operating system offers less than full isolation.
        threads: intra-op threads of reference and candidate; ``None``: all the CPUs.
        wall_s: wall clock of one call of the candidate; cpu_s: CPU time of a whole worker;
            build_s: wall clock of building it.
        memory_bytes: resident memory of the worker's whole process tree.
        processes: processes and threads alive at one time in the sandbox.
        file_bytes: size of the sandbox's scratch file system, and of any one file.
        output_bytes: text that a candidate may print.
        seeds: fresh inputs of the plain kind; runs: the most interleaved timed pairs;
            min_time_s: how long timing goes on at the most.
        seed: replay an earlier evaluation's secret seed; ``None``: from the operating system.
        policy: ``standard``, or ``strict``: differences at non-finite and denormal inputs, and
            framework operators doing a kernel's work, are refused instead of reported.

    Raises:
        ValueError: a limit that is not positive, or an unknown policy.
    """

    timing: bool = True
    backward: bool | None = None
    require_sandbox: bool = False
    threads: int | None = None
    wall_s: float = 60.0
    cpu_s: float = 900.0
    build_s: float = 240.0
    memory_bytes: int = 12 * GIB
    processes: int = 64
    file_bytes: int = 1 * GIB
    output_bytes: int = 1 * MIB
    seeds: int = 3
    runs: int = 40
    min_time_s: float = 1.5
    seed: int | None = None
    policy: str = "standard"

    def __post_init__(self) -> None:
        for name in (
            "wall_s", "cpu_s", "build_s", "memory_bytes", "processes", "file_bytes",
            "output_bytes", "seeds", "runs", "min_time_s",
        ):  # fmt: skip
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)!r}")
        if self.threads is not None and self.threads < 1:
            raise ValueError(f"threads must be at least 1 or None, got {self.threads!r}")
        if self.policy not in POLICIES:
            raise ValueError(f"policy must be one of {', '.join(POLICIES)}, got {self.policy!r}")
