"""Generalised-mean pooling, one exponent per group of channels (GeM, GGeM)."""

from kernelmill.ops.gem.op import gem

__all__ = ["gem"]
