"""Source to callable, one file per backend."""

from kernelmill.backends.base import Availability, Backend, BuildError, BuildSpec, TensorSpec
from kernelmill.backends.guess import guess, read_candidate
from kernelmill.backends.registry import get, names

__all__ = [
    "Availability",
    "Backend",
    "BuildError",
    "BuildSpec",
    "TensorSpec",
    "get",
    "guess",
    "names",
    "read_candidate",
]
