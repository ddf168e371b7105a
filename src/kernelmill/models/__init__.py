"""Whole networks, with loaders for the official checkpoints."""

from kernelmill.models.long_conv import LongConvModel
from kernelmill.models.long_conv_lm import LongConvLM

__all__ = ["LongConvLM", "LongConvModel"]
