"""Backend ``inductor``: Python source whose ``ModelNew`` runs through ``torch.compile``."""

from __future__ import annotations

import os
import re
from pathlib import Path

from kernelmill.backends.base import Availability, BuildSpec
from kernelmill.backends.device import default_device, has_cuda, synchronize, tool_version
from kernelmill.backends.python_source import build_python

NO_COMPILER = (
    "torch.compile needs a C++ compiler on a CPU and finds none: install g++ (Debian, Ubuntu: "
    "apt install g++) or set CXX"
)


def _knows_every_isa() -> bool:
    """Inductor compiles a test program per instruction set (5 s) before it believes that the
    compiler knows those that the processor has; g++ 11 and later do."""
    major = re.search(r" (\d+)\.\d+", tool_version(os.environ.get("CXX") or "g++"))
    return bool(major and int(major[1]) >= 11)


class InductorBackend:
    """Executes the text; torch.compile keeps its files in the candidate's own folder."""

    name = "inductor"
    brings_kernel = False

    @property
    def device(self) -> str:
        return default_device()

    def available(self) -> Availability:
        import torch

        if self.device == "cpu" and not tool_version(os.environ.get("CXX") or "g++"):
            return Availability(False, NO_COMPILER, can_time=False)
        if self.device != "cpu" and not has_cuda():
            reason = "KERNELMILL_DEVICE asks for a GPU and this torch can use none"
            return Availability(False, reason, can_time=False)
        return Availability(True, version=torch.__version__)

    def environment(self) -> dict[str, str]:
        # A pool of compile processes would count as the candidate's own.
        found = {"TORCHINDUCTOR_COMPILE_THREADS": "1"}
        if _knows_every_isa():
            found["TORCHINDUCTOR_VEC_ISA_OK"] = "1"
        return found

    def build(self, source: str, workdir: Path, spec: BuildSpec) -> type:
        # Nobody else writes here: a cache shared between candidates could be poisoned by one.
        cache = Path(workdir) / "inductor-cache"
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(cache)
        os.environ.update(self.environment())
        import torch._inductor.codecache as codecache
        import torch._inductor.config as config

        config.compile_threads = 1
        if _knows_every_isa():
            config.cpp.vec_isa_ok = True
        if hasattr(codecache, "_HEADER_DIR"):  # outside the cache's folder otherwise
            codecache._HEADER_DIR = str(cache / "headers")
        return build_python(source, workdir)

    def synchronize(self) -> None:
        synchronize(self.device)


BACKEND = InductorBackend()
