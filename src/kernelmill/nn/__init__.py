"""Layers over `kernelmill.ops`."""

from kernelmill.nn.butterfly import ButterflyFFT
from kernelmill.nn.fft_conv import FFTConv
from kernelmill.nn.gem import GeMPool2d, GroupGeMPool
from kernelmill.nn.h3_conv import H3Conv
from kernelmill.nn.long_conv import LongConv
from kernelmill.nn.long_conv_kernel import LongConvKernel
from kernelmill.nn.neighborhood import (
    NeighborhoodAttention1D,
    NeighborhoodAttention2D,
    NeighborhoodAttention3D,
)

__all__ = [
    "ButterflyFFT",
    "FFTConv",
    "GeMPool2d",
    "GroupGeMPool",
    "H3Conv",
    "LongConv",
    "LongConvKernel",
    "NeighborhoodAttention1D",
    "NeighborhoodAttention2D",
    "NeighborhoodAttention3D",
]
