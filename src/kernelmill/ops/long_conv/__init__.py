"""Long convolutions: kernels as long as the sequence, by FFT."""

from kernelmill.ops.long_conv.op import long_conv, long_conv_backend

__all__ = ["long_conv", "long_conv_backend"]
