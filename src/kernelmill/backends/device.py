"""Which device candidates run on."""

from __future__ import annotations

import os
import shutil
import subprocess
from functools import cache


def has_cuda() -> bool:
    """Is there a CUDA (or ROCm) device that this torch can use? Counts devices without creating
    a context, so a fork server may ask."""
    import torch

    if torch.version.cuda is None and torch.version.hip is None:
        return False
    return torch.cuda.device_count() > 0


def default_device() -> str:
    """``$KERNELMILL_DEVICE`` or ``cpu``: where candidates run whose backend runs on either."""
    return os.environ.get("KERNELMILL_DEVICE", "cpu")


def synchronize(device: str) -> None:
    """Wait for the whole device, side streams included; nothing to wait for on a CPU."""
    if device != "cpu":
        import torch

        torch.cuda.synchronize()


@cache
def tool_version(command: str) -> str:
    """The line of ``command --version`` that names a version, or ``""`` without the command."""
    path = shutil.which(command)
    if path is None:
        return ""
    try:
        done = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    lines = [line.strip() for line in done.stdout.splitlines() if line.strip()]
    if done.returncode or not lines:
        return ""
    return next((line for line in lines if "release" in line), lines[0])
