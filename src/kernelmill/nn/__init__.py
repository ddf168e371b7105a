"""Layers over `kernelmill.ops`."""

from kernelmill.nn.gem import GeMPool2d, GroupGeMPool

__all__ = ["GeMPool2d", "GroupGeMPool"]
