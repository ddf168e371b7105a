"""Backend ``pallas``: Python source with JAX Pallas kernels, for a TPU.

Compiled where there is a TPU. Elsewhere Pallas interprets the kernels on the CPU: right answers can
be told from wrong ones on small sizes, speed cannot. Tensors come and go on the host, so that a
time on a TPU has the transfers in it.

A candidate's kernels are called between `to_jax` and `to_torch`::

    def double(x_ref, y_ref):
        y_ref[...] = 2 * x_ref[...]

    class ModelNew(torch.nn.Module):
        def forward(self, x):
            array = to_jax(x)
            shape = jax.ShapeDtypeStruct(array.shape, array.dtype)
            return to_torch(pl.pallas_call(double, shape, interpret=interpret())(array))
"""

from __future__ import annotations

import ast
import importlib.util
import os
import sys
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from kernelmill.backends.base import Availability, BuildError, BuildSpec
from kernelmill.backends.python_source import build_python

__all__ = ["BACKEND", "PallasBackend", "interpret", "to_jax", "to_torch"]

# JAX has 32 bits unless told otherwise, and a TPU has no more
_WIDE = {"torch.int64": "x.int()", "torch.float64": "x.float()", "torch.complex128": "x.cfloat()"}


@cache
def has_tpu() -> bool:
    """Is there a TPU with its library? Asks the file system only, so a fork server may ask."""
    if importlib.util.find_spec("libtpu") is None:
        return False
    return any(Path("/dev").glob("accel[0-9]*")) or any(Path("/dev/vfio").glob("[0-9]*"))


def interpret() -> bool:
    """Are kernels to be interpreted? True where there is no TPU."""
    return not has_tpu()


def to_jax(tensor: Any) -> Any:
    """A torch tensor as a JAX array: the same memory where layout and alignment allow it, so it is
    not to be written to as long as the array is in use.

    Raises:
        TypeError: it is no tensor on the CPU, or has a 64-bit dtype, which JAX would cut.
    """
    import jax.numpy as jnp
    import torch

    if not isinstance(tensor, torch.Tensor) or tensor.device.type != "cpu":
        what = getattr(tensor, "device", type(tensor).__name__)
        raise TypeError(f"tensor: want a torch tensor on the CPU, got {what}")
    narrower = _WIDE.get(str(tensor.dtype))
    if narrower:
        raise TypeError(
            f"tensor: {tensor.dtype} has no counterpart on a TPU; convert it first, as {narrower}"
        )
    tensor = tensor.detach().contiguous()
    if tensor.numel() == 0:
        return jnp.zeros(tuple(tensor.shape), str(tensor.dtype).removeprefix("torch."))
    return jnp.from_dlpack(tensor)


def to_torch(array: Any) -> Any:
    """A JAX array as a torch tensor, once it is computed: the array's own memory on a CPU, a copy
    from a TPU.
    """
    import jax
    import torch

    if array.size == 0:
        return torch.empty(array.shape, dtype=getattr(torch, str(array.dtype)))
    if next(iter(array.devices())).platform != "cpu":
        array = jax.device_put(array, jax.devices("cpu")[0])
    return torch.from_dlpack(array.block_until_ready())


class PallasBackend:
    """Executes the text; its kernels are compiled for a TPU or, without one, interpreted."""

    name = "pallas"
    brings_kernel = True
    device = "cpu"  # where the tensors are
    devices = ("accel", "vfio")

    def available(self) -> Availability:
        if importlib.util.find_spec("jax") is None:
            reason = "jax is not installed: pip install 'kernelmill[pallas]'"
            return Availability(False, reason, can_time=False)
        try:
            found = version("jax")
        except PackageNotFoundError:
            found = "?"
        if has_tpu():
            return Availability(True, version=found)
        reason = (
            "no TPU (libtpu and /dev/accel* or /dev/vfio): kernels are interpreted on the CPU, "
            "which shows whether they are right but not how fast they are"
        )
        return Availability(True, reason, can_time=False, version=found)

    def environment(self) -> dict[str, str]:
        # otherwise JAX would look for other accelerators, and warn that it found none
        return {} if has_tpu() else {"JAX_PLATFORMS": "cpu"}

    def prepare(self) -> None:
        """Import JAX and start its threads: it registers itself with Python's collector."""
        for key, value in self.environment().items():
            if "jax" in sys.modules and os.environ.get(key) != value:
                raise BuildError(f"jax was imported without {key}={value}")
            os.environ[key] = value
        import jax
        from jax.experimental import pallas  # noqa: F401

        jax.devices()

    def build(self, source: str, workdir: Path, spec: BuildSpec) -> type:
        if not _calls_pallas(source):
            raise BuildError(
                "the text has no pallas_call: what jax.numpy computes is no kernel of its own"
            )
        return build_python(source, workdir)

    def synchronize(self) -> None:
        """Nothing is in flight: `to_torch` waits for what it returns."""


def _calls_pallas(source: str) -> bool:
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return True  # what is wrong is said by who executes it
    return any(
        isinstance(node, (ast.Attribute, ast.Name, ast.alias))
        and "pallas_call" in (getattr(node, "attr", ""), getattr(node, "id", ""),
                              getattr(node, "name", ""))
        for node in ast.walk(tree)
    )  # fmt: skip


BACKEND = PallasBackend()
