"""Backend ``triton``: Python source with Triton kernels.

Compiled where there is a GPU. Without one, Triton's interpreter executes the kernels: right
answers can be told from wrong ones on small sizes, speed cannot."""

from __future__ import annotations

import importlib.util
import os
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from kernelmill.backends.base import Availability, BuildError, BuildSpec
from kernelmill.backends.device import has_cuda, synchronize
from kernelmill.backends.python_source import build_python


class TritonBackend:
    """Executes the text; its kernels are compiled by Triton or, without a GPU, interpreted."""

    name = "triton"
    brings_kernel = True
    devices = ("nvidia",)

    @property
    def device(self) -> str:
        return "cuda" if has_cuda() else "cpu"

    def available(self) -> Availability:
        if importlib.util.find_spec("triton") is None:
            reason = "triton is not installed: pip install 'kernelmill[triton]'"
            return Availability(False, reason, can_time=False)
        try:
            found = version("triton")
        except PackageNotFoundError:
            found = "?"
        if has_cuda():
            return Availability(True, version=found)
        reason = (
            "no GPU that this torch can use: kernels are interpreted (TRITON_INTERPRET=1), "
            "which shows whether they are right but not how fast they are"
        )
        return Availability(True, reason, can_time=False, version=found)

    def environment(self) -> dict[str, str]:
        return {} if has_cuda() else {"TRITON_INTERPRET": "1"}

    def build(self, source: str, workdir: Path, spec: BuildSpec) -> type:
        os.environ["TRITON_CACHE_DIR"] = str(Path(workdir) / "triton-cache")
        for key, value in self.environment().items():
            # Triton's own library functions are decorated when it is imported.
            if "triton" in sys.modules and os.environ.get(key) != value:
                raise BuildError(
                    f"triton was imported without {key}={value}; a worker for this backend has "
                    "to start with the variables of its environment()"
                )
            os.environ[key] = value
        return build_python(source, workdir)

    def synchronize(self) -> None:
        synchronize(self.device)


BACKEND = TritonBackend()
