"""Long convolutions: kernels as long as the sequence, by FFT."""

from kernelmill.ops.long_conv.butterfly import butterfly_fft
from kernelmill.ops.long_conv.op import long_conv, long_conv_backend
from kernelmill.ops.long_conv.transforms import prox_squash_, smooth_kernel, squash

__all__ = [
    "butterfly_fft",
    "long_conv",
    "long_conv_backend",
    "prox_squash_",
    "smooth_kernel",
    "squash",
]
