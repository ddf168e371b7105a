"""The public function `gem`: argument checks, canonical layout, registration."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from kernelmill.ops.gem import cpu, triton
from kernelmill.ops.gem.reference import gem_reference, tokens_reference
from kernelmill.ops.numerics import FLOATS, sum_dtype
from kernelmill.ops.registry import Example, Kernels, Operator, register

NEGATIVE = ("clamp", "abs", "signed", "shift")


def gem(
    x: Tensor,
    p: Tensor | float,
    groups: int = 1,
    eps: float = 1e-6,
    negative: str = "clamp",
    mask: Tensor | None = None,
    dim: int | tuple[int, ...] | None = None,
) -> Tensor:
    r"""Generalised-mean (power-mean) pooling, one exponent per group of channels.

    ``y[b, c] = (mean_n max(x[b, n, c], eps) ** p[g]) ** (1 / p[g])``, ``g = floor(c * G / C)``

    p = 1 is the average (of the clamped input), p = 0 the geometric mean, large p approaches the
    maximum and large negative p the minimum. Evaluated so that nothing overflows, with float32
    sums for half inputs. Gradients for ``x`` (zero where it was clamped) and ``p``.

    Args:
        x: (B, N, C) tokens, or (B, C, H, W) feature maps in any memory format; other layouts
            by ``dim``. float32, float64, float16 or bfloat16.
        p: the exponents: a float, or a tensor of shape (), (1,) or (groups,). A float
            (or a tensor that needs no gradient) of 1, 2 or 3 takes a path without logarithms.
        groups: G, a divisor of C; group g is the channels [g C/G, (g + 1) C/G).
        eps: lower clamp, in [1e-30, inf).
        negative: what happens to negative activations. ``"clamp"``: to eps (the papers' way);
            ``"abs"``: the power mean of abs(x); ``"signed"``: mean of sgn(x) abs(x)^p, then the
            signed root (p > 0; the result is at least eps in magnitude, or 0);
            ``"shift"``: the channel's minimum is subtracted before and added after.
        mask: bool, true where a position counts; its shape is that of x without channels.
        dim: the pooled dimensions: all but the first (batch) and one (channels), which must be
            second or last. Default: 1 for a 3-D x, else all from 2 on.

    Returns:
        (B, C), dtype of ``x``.

    Raises:
        TypeError: ``x``, ``p`` or ``mask`` has a dtype that is not accepted.
        ValueError: a shape or value does not fit; on CPU also: a row of ``mask`` keeps nothing or
            a tensor ``p`` is not finite (other devices return NaN there rather than wait for it).

    Source: GGeM, arXiv 2212.04114; GeM, arXiv 1711.02512.

    Example:
        >>> import torch
        >>> from kernelmill.ops import gem
        >>> x = torch.tensor([[[1.0, 1.0], [3.0, 3.0]]])  # one sample, two tokens, two channels
        >>> gem(x, torch.tensor([1.0, 100.0]), groups=2).round(decimals=2)
        tensor([[2.0000, 2.9800]])
    """
    tokens = _tokens(x, dim)
    batch, count, channels = tokens.shape
    p, save = _exponents(p, x, groups, negative)
    if channels % groups:
        raise ValueError(
            f"groups: got {groups} for {channels} channels; groups must divide the channels"
        )
    if not 1e-30 <= eps < math.inf:
        raise ValueError(f"eps: got {eps}, wanted a number in [1e-30, inf)")
    if count == 0:
        raise ValueError(f"x: got shape {tuple(x.shape)}, with no position to pool over")
    if mask is not None:
        mask = _mask(mask, x, tokens)
    low = None
    if negative == "shift":
        tokens = tokens if tokens.dtype == torch.float64 else tokens.float()
        low = (tokens if mask is None else tokens.masked_fill(~mask.unsqueeze(2), math.inf)).amin(1)
        tokens, negative = tokens - low.unsqueeze(1), "clamp"
    y = GEM(tokens, p, mask, eps, negative, save)
    return y if low is None else (y + low).to(x.dtype)


def _tokens(x: Tensor, dim: int | tuple[int, ...] | None) -> Tensor:
    """A view (B, N, C) of x."""
    if not isinstance(x, Tensor) or x.dtype not in FLOATS:
        got = x.dtype if isinstance(x, Tensor) else type(x).__name__
        raise TypeError(f"x: got {got}, wanted a float32, float64, float16 or bfloat16 tensor")
    rank = x.dim()
    if rank < 3:
        raise ValueError(
            f"x: got shape {tuple(x.shape)}, wanted (B, N, C) tokens or (B, C, H, W) feature maps"
        )
    if dim is None:
        last = rank == 3
    else:
        dims = (dim,) if isinstance(dim, int) else tuple(dim)
        pooled = sorted(d % rank for d in dims)
        first, last = pooled == list(range(2, rank)), pooled == list(range(1, rank - 1))
        if any(not -rank <= d < rank for d in dims) or not (first or last):
            raise ValueError(
                f"dim: got {dim} for x of shape {tuple(x.shape)}; wanted all dimensions but the "
                f"first and one of channels: {tuple(range(1, rank - 1))} or {tuple(range(2, rank))}"
            )
    if last:
        return x if rank == 3 else x.flatten(1, -2)
    if rank == 4 and x.is_contiguous(memory_format=torch.channels_last):
        return x.permute(0, 2, 3, 1).flatten(1, 2)
    return (x if rank == 3 else x.flatten(2)).transpose(1, 2)


def _exponents(p: Tensor | float, x: Tensor, groups: int, negative: str) -> tuple[Tensor, bool]:
    """p as a tensor (groups,) and whether its gradient is wanted."""
    if negative not in NEGATIVE:
        raise ValueError(f"negative: got {negative!r}, wanted one of {', '.join(NEGATIVE)}")
    if not isinstance(groups, int) or groups < 1:
        raise ValueError(f"groups: got {groups!r}, wanted a whole number from 1 on")
    if not isinstance(p, Tensor):
        if not -math.inf < p < math.inf or (negative == "signed" and p <= 0):
            wanted = "a finite number above 0" if negative == "signed" else "a finite number"
            raise ValueError(f"p: got {p}, wanted {wanted}")
        dtype = sum_dtype(x.dtype)
        return torch.full((groups,), float(p), dtype=dtype, device=x.device), False
    if p.dtype not in FLOATS:
        raise TypeError(f"p: got {p.dtype}, wanted a floating-point tensor")
    if p.device != x.device:
        raise ValueError(f"p: got a tensor on {p.device}, wanted one on {x.device} (where x is)")
    if p.dim() > 1 or p.numel() not in (1, groups):
        raise ValueError(
            f"p: got shape {tuple(p.shape)}, wanted (), (1,) or (groups,) with groups = {groups}"
        )
    save = p.requires_grad and torch.is_grad_enabled()
    return (p if p.dim() == 1 and p.numel() == groups else p.reshape(1).expand(groups)), save


def _mask(mask: Tensor, x: Tensor, tokens: Tensor) -> Tensor:
    if not isinstance(mask, Tensor) or mask.dtype != torch.bool:
        got = mask.dtype if isinstance(mask, Tensor) else type(mask).__name__
        raise TypeError(f"mask: got {got}, wanted a bool tensor")
    if mask.device != x.device:
        raise ValueError(f"mask: got a tensor on {mask.device}, wanted one on {x.device}")
    flat = mask.flatten(1) if mask.dim() > 2 else mask
    spatial = mask.dim() == 2 or mask.dim() == x.dim() - 1
    if not spatial or flat.shape != tokens.shape[:2]:
        raise ValueError(
            f"mask: got shape {tuple(mask.shape)} for x of shape {tuple(x.shape)}; "
            f"wanted {tuple(tokens.shape[:2])} (one entry per position)"
        )
    return flat


def _fake(x, p, mask, eps, negative, save):
    """Pooled, the same in float32 (for half inputs), d pooled / d p."""
    shape = (x.shape[0], x.shape[2])
    wide = torch.float32
    half = x.dtype in (torch.float16, torch.bfloat16)
    return (
        x.new_empty(shape),
        x.new_empty(shape if half else (0,), dtype=wide),
        x.new_empty(shape if save else (0,), dtype=wide),
    )


def _plain(x, p, mask, eps, negative, save):
    if x.device.type == "cpu" and not torch.compiler.is_compiling():
        check_values(p, mask, negative)
    return tokens_reference(x, p, mask, eps, negative)


def check_values(p: Tensor, mask: Tensor | None, negative: str) -> None:
    """What can only be seen in the data. CPU only: elsewhere it would wait for the device."""
    if p.is_meta or isinstance(p, torch._subclasses.FakeTensor):
        return
    with torch.no_grad():
        if not bool(p.isfinite().all()):
            raise ValueError(f"p: got {p.tolist()}, wanted finite exponents")
        if negative == "signed" and not bool((p > 0).all()):
            raise ValueError(f"p: got {p.tolist()}, negative='signed' wants exponents above 0")
        if mask is not None and not bool(mask.any(1).all()):
            rows = (~mask.any(1)).nonzero().flatten().tolist()
            raise ValueError(f"mask: rows {rows} keep no position; every row must keep one")


def _example(name, make, bench=False):
    return Example(name, make, bench)


def _ragged(randn, dtype, device):
    lengths = torch.tensor([5, 1, 9], device=device)
    mask = torch.arange(9, device=device) < lengths[:, None]
    return {"x": randn(3, 9, 20), "p": randn(4).abs() + 1, "groups": 4, "mask": mask}


def _tokens_example(batch, count, channels, groups):
    def make(randn, dtype, device):
        p = torch.linspace(1.5, 4.5, groups, dtype=torch.float32, device=device)
        return {"x": randn(batch, count, channels), "p": p, "groups": groups}

    return make


def _maps_example(batch, channels, height, width, **extra):
    def make(randn, dtype, device):
        p = torch.full((1,), 3.0, dtype=torch.float32, device=device)
        x = randn(batch, channels, height, width)
        if extra.get("channels_last"):
            x = x.contiguous(memory_format=torch.channels_last)
        rest = {k: v for k, v in extra.items() if k != "channels_last"}
        return {"x": x, "p": p, **rest}

    return make


EXAMPLES = (
    _example("tokens", _tokens_example(2, 17, 48, 4)),
    _example("odd", _tokens_example(3, 7, 37, 1)),
    _example("one_token", _tokens_example(2, 1, 5, 5)),
    _example("empty_batch", _tokens_example(0, 3, 8, 2)),
    _example("ragged", _ragged),
    _example("maps", _maps_example(2, 19, 7, 7)),
    _example("maps_channels_last", _maps_example(2, 19, 5, 7, channels_last=True)),
    _example("abs", _maps_example(2, 16, 3, 5, negative="abs")),
    _example("shift", _maps_example(2, 16, 3, 5, negative="shift")),
    _example(
        "signed",
        lambda randn, dtype, device: {
            "x": randn(2, 11, 18) + 0.7,
            "p": 1.5 + randn(3).abs(),
            "groups": 3,
            "negative": "signed",
        },
    ),  # fmt: skip
    _example(
        "fixed", lambda randn, dtype, device: {"x": randn(2, 11, 33), "p": 3.0, "groups": 3}
    ),  # fmt: skip
    _example(
        "near_zero",
        lambda randn, dtype, device: {
            "x": randn(2, 11, 40).abs() + 0.1,
            "groups": 5,
            "p": torch.tensor([0.0, 1e-5, -1e-3, 0.03, -0.2], device=device),
        },
    ),  # fmt: skip
    _example("vit_base", _tokens_example(64, 197, 768, 12), bench=True),
    _example("resnet50", _maps_example(32, 2048, 7, 7), bench=True),
)

GEM = register(
    Operator(
        name="gem",
        function=gem,
        reference=gem_reference,
        examples=EXAMPLES,
        args="Tensor x, Tensor p, Tensor? mask, float eps, str negative, bool save",
        differentiable=("x", "p"),
        results=3,
        plain=_plain,
        fake=_fake,
        kernels={
            "cpu": Kernels(cpu.forward, cpu.backward, cpu.fits),
            "triton": Kernels(triton.forward, triton.backward, triton.fits),
        },
        paper="ggem",
        tolerance={torch.float32: 4e-5},  # the reference itself, in float32 near p = 0
    )
)
