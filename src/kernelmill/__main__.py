"""``python -m kernelmill``."""

from kernelmill.cli import script

script()
