"""The public function `long_conv`: argument checks, canonical layout, registration."""

from __future__ import annotations

import torch
from torch import Tensor

from kernelmill.ops.long_conv import cpu, triton
from kernelmill.ops.long_conv.examples import EXAMPLES
from kernelmill.ops.long_conv.reference import convolve_reference, long_conv_reference
from kernelmill.ops.numerics import FLOATS, sum_dtype
from kernelmill.ops.registry import Kernels, Operator, register

BACKENDS = ("auto", "reference", "cpu", "triton")


def long_conv(
    u: Tensor,
    k: Tensor,
    D: Tensor | None = None,  # noqa: N803
    k_rev: Tensor | None = None,
    *,
    reverse_offset: int = 1,
    in_gate: Tensor | None = None,
    out_gate: Tensor | None = None,
    lengths: Tensor | None = None,
    backend: str | None = None,
) -> Tensor:
    r"""Depthwise linear convolution with kernels as long as the sequence, by FFT.

    ``y[t] = out_gate[t] (sum_{s<=t} k[s] x[t-s] + sum_i k_rev[i] x[t+i+r] + D x[t])``,
    ``x = in_gate u``

    for every sample, channel and kernel. The convolution is linear for every length: what is
    before the first or behind the last position counts as zero, an output never depends on what
    is behind it (without ``k_rev``), and taps that reach beyond the sequence are ignored.

    Args:
        u: (B, H, L), any L >= 1. float32, float64, float16 or bfloat16.
        k: (H, Lk), or (C, H, Lk) for C kernels per channel; any Lk >= 1. dtype of ``u`` or float32.
        D: (H,) or (C, H): the skip connection.
        k_rev: taps that look ahead, of shape (H, Lr) or (C, H, Lr).
        reverse_offset: r, how far tap 0 of ``k_rev`` looks ahead: 1 (LongConv, S4) or 0 (H3, where
            the two kernels overlap at lag 0).
        in_gate: like ``u``. out_gate: like the result; or (B, H, L) for all C kernels.
        lengths: int (B,), each in [0, L]: positions of ``u`` from lengths[b] on count as zero.
        backend: ``"auto"`` (default), ``"reference"``, ``"cpu"`` or ``"triton"``;
            `long_conv_backend` says what would be taken and why.

    Returns:
        (B, H, L) for a ``k`` of two dimensions, else (B, C, H, L); dtype of ``u``. Sums are in
        float32 for half inputs.

    Raises:
        TypeError: a dtype is not accepted.
        ValueError: a shape, a device or a value does not fit (values of ``lengths`` are looked at
            on CPU only).
        NotImplementedError: ``backend`` is given and cannot take these arguments.

    Source: Simple Hardware-Efficient Long Convolutions for Sequence Modeling, arXiv 2302.06646;
    gates as in FlashFFTConv, arXiv 2311.05908. Outputs differ from the published code where that
    wraps around (kernels longer than the input).

    Example:
        >>> import torch
        >>> from kernelmill.ops import long_conv
        >>> u = torch.tensor([[[1.0, 0.0, 0.0, 2.0]]])
        >>> long_conv(u, torch.tensor([[1.0, 0.5, 0.25]])).round(decimals=4)
        tensor([[[1.0000, 0.5000, 0.2500, 2.0000]]])
    """
    args = _arguments(u, k, D, k_rev, reverse_offset, in_gate, out_gate, lengths)
    y = LONG_CONV(*args, backend=_backend(backend))
    return y if k.dim() == 3 else y.squeeze(1)


def long_conv_backend(
    u: Tensor,
    k: Tensor,
    D: Tensor | None = None,  # noqa: N803
    k_rev: Tensor | None = None,
    *,
    reverse_offset: int = 1,
    in_gate: Tensor | None = None,
    out_gate: Tensor | None = None,
    lengths: Tensor | None = None,
    backend: str | None = None,
) -> tuple[str, str]:
    """Which backend `long_conv` would take for these arguments, and why.

    Returns:
        ``(name, reason)``.

    Raises:
        TypeError, ValueError: as `long_conv`.

    Example:
        >>> import torch
        >>> long_conv_backend(torch.ones(1, 2, 8, dtype=torch.float64), torch.ones(2, 8))
        ('reference', 'no CPU kernel for torch.float64')
    """
    args = _arguments(u, k, D, k_rev, reverse_offset, in_gate, out_gate, lengths)
    name, reason = LONG_CONV.choose(*args, backend=_backend(backend))
    if name == "triton" and (refusal := triton.too_long(u)):
        return "reference", refusal
    return name, reason


def _backend(name: str | None) -> str | None:
    if name not in (None, *BACKENDS):
        raise ValueError(f"backend: got {name!r}, wanted one of {', '.join(BACKENDS)}")
    return None if name == "auto" else name


def _arguments(u, k, skip, k_rev, reverse_offset, in_gate, out_gate, lengths) -> tuple:
    """The kernels' view: k, k_rev (C, H, taps) and skip (C, H) wide, out_gate (B, C, H, L)."""
    for name, value in (("u", u), ("k", k)):
        if not isinstance(value, Tensor):
            raise TypeError(f"{name}: got {type(value).__name__}, wanted a tensor")
    if u.dtype not in FLOATS:
        raise TypeError(f"u: got {u.dtype}, wanted float32, float64, float16 or bfloat16")
    if u.dim() != 3 or u.shape[2] < 1:
        raise ValueError(f"u: got shape {tuple(u.shape)}, wanted (B, H, L) with L >= 1")
    if k.dim() not in (2, 3) or k.shape[-2] != u.shape[1] or k.shape[-1] < 1:
        raise ValueError(
            f"k: got shape {tuple(k.shape)} for u of shape {tuple(u.shape)}; wanted "
            f"({u.shape[1]}, taps) or (kernels, {u.shape[1]}, taps), at least one tap"
        )
    if reverse_offset not in (0, 1):
        raise ValueError(f"reverse_offset: got {reverse_offset!r}, wanted 0 or 1")
    channels = k.shape[:-1]
    if k_rev is not None and (k_rev.dim() != k.dim() or k_rev.shape[:-1] != channels):
        raise ValueError(
            f"k_rev: got shape {tuple(k_rev.shape)}, wanted {(*channels, 'taps')} as k has"
        )
    if skip is not None and skip.shape != channels:
        raise ValueError(f"D: got shape {tuple(skip.shape)}, wanted {tuple(channels)}")
    k, skip, k_rev = (
        _parameter(name, value, u) for name, value in (("k", k), ("D", skip), ("k_rev", k_rev))
    )
    if k.dim() == 2:
        k, skip, k_rev = (None if p is None else p.unsqueeze(0) for p in (k, skip, k_rev))
    _same("in_gate", in_gate, u, (u.shape,))
    whole = (u.shape[0], k.shape[0], *u.shape[1:])
    single = len(channels) == 1
    _same("out_gate", out_gate, u, (u.shape,) if single else (whole, u.shape))
    if out_gate is not None and out_gate.dim() == 3:
        out_gate = out_gate.unsqueeze(1).expand(whole)
    _lengths(lengths, u)
    return u, k, skip, k_rev, in_gate, out_gate, lengths, reverse_offset


def _parameter(name: str, value: Tensor | None, u: Tensor) -> Tensor | None:
    """k, D or k_rev in the dtype of the sums."""
    if value is None:
        return None
    if value.dtype not in (u.dtype, torch.float32):
        raise TypeError(f"{name}: got {value.dtype}, wanted {u.dtype} (as u has) or float32")
    if value.device != u.device:
        raise ValueError(f"{name}: got a tensor on {value.device}, wanted {u.device} (where u is)")
    return value.to(sum_dtype(u.dtype))


def _same(name: str, gate: Tensor | None, u: Tensor, shapes: tuple) -> None:
    if gate is None:
        return
    if gate.dtype != u.dtype:
        raise TypeError(f"{name}: got {gate.dtype}, wanted {u.dtype} (as u has)")
    if all(tuple(gate.shape) != tuple(shape) for shape in shapes):
        wanted = " or ".join(str(tuple(shape)) for shape in shapes)
        raise ValueError(f"{name}: got shape {tuple(gate.shape)}, wanted {wanted}")
    if gate.device != u.device:
        raise ValueError(f"{name}: got a tensor on {gate.device}, wanted {u.device} (where u is)")


def _lengths(lengths: Tensor | None, u: Tensor) -> None:
    if lengths is None:
        return
    if not isinstance(lengths, Tensor) or lengths.dtype not in (torch.int32, torch.int64):
        got = lengths.dtype if isinstance(lengths, Tensor) else type(lengths).__name__
        raise TypeError(f"lengths: got {got}, wanted an int64 or int32 tensor")
    if lengths.shape != u.shape[:1]:
        raise ValueError(f"lengths: got shape {tuple(lengths.shape)}, wanted ({u.shape[0]},)")
    if lengths.device != u.device:
        raise ValueError(
            f"lengths: got a tensor on {lengths.device}, wanted {u.device} (where u is)"
        )
    check_length_values(lengths, u.shape[2])


def check_length_values(lengths: Tensor, length: int) -> None:
    """On the CPU only: elsewhere looking would wait for the device."""
    if lengths.device.type != "cpu" or torch.compiler.is_compiling() or not lengths.numel():
        return
    if isinstance(lengths, torch._subclasses.FakeTensor):
        return
    low, high = int(lengths.min()), int(lengths.max())
    if low < 0 or high > length:
        raise ValueError(f"lengths: got values from {low} to {high}, wanted them in [0, {length}]")


def _fake(u, k, skip, k_rev, in_gate, out_gate, lengths, reverse_offset):
    return (u.new_empty((u.shape[0], k.shape[0], u.shape[1], u.shape[2])),)


LONG_CONV = register(
    Operator(
        name="long_conv",
        function=long_conv,
        reference=long_conv_reference,
        examples=EXAMPLES,
        args="Tensor u, Tensor k, Tensor? skip, Tensor? k_rev, Tensor? in_gate, Tensor? out_gate, "
        "Tensor? lengths, int reverse_offset",
        differentiable=("u", "k", "skip", "k_rev", "in_gate", "out_gate"),
        keeps_results=False,
        plain=convolve_reference,
        fake=_fake,
        kernels={
            "cpu": Kernels(cpu.forward, cpu.backward, cpu.fits),
            "triton": Kernels(triton.forward, triton.backward, triton.fits),
        },
        paper="long-conv",
    )
)
