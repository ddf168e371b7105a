"""Backend ``torch``: plain Python source over PyTorch."""

from __future__ import annotations

from pathlib import Path

from kernelmill.backends.base import Availability, BuildSpec
from kernelmill.backends.device import default_device, synchronize
from kernelmill.backends.python_source import build_python


class TorchBackend:
    """Executes the text; needs nothing but torch."""

    name = "torch"
    brings_kernel = False

    @property
    def device(self) -> str:
        return default_device()

    def available(self) -> Availability:
        import torch

        return Availability(True, version=torch.__version__)

    def build(self, source: str, workdir: Path, spec: BuildSpec) -> type:
        return build_python(source, workdir)

    def synchronize(self) -> None:
        synchronize(self.device)

    def environment(self) -> dict[str, str]:
        return {}


BACKEND = TorchBackend()
