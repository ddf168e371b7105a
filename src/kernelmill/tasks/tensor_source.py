"""Python expressions that make tensors like given ones: exact values or fresh draws."""

from __future__ import annotations

import math
from typing import Any

import torch

from kernelmill.tasks.errors import TaskError

EXACT_ELEMENTS = 64
EXACT_INTEGERS = 1024


class Vault:
    """Values that are too large for source text; they travel in the task's payload."""

    def __init__(self) -> None:
        self.tensors: dict[str, torch.Tensor] = {}

    def keep(self, tensor: torch.Tensor) -> str:
        name = f"t{len(self.tensors)}"
        self.tensors[name] = tensor.detach().cpu().clone()
        return f"_saved[{name!r}].clone()"


def number(value: float) -> str:
    """A float as source text, infinities and NaN included.

    Example:
        >>> number(0.5), number(float("-inf"))
        ('0.5', "float('-inf')")
    """
    return repr(float(value)) if math.isfinite(value) else f"float({str(value)!r})"


def _short(value: float) -> str:
    return number(float(f"{value:.4g}"))


def _shape(tensor: torch.Tensor) -> str:
    return repr(tuple(tensor.shape))


def _literal(tensor: torch.Tensor) -> str:
    def text(value: Any) -> str:
        if isinstance(value, list):
            return "[" + ", ".join(map(text, value)) + "]"
        return number(value) if isinstance(value, float) else repr(value)

    return f"torch.tensor({text(tensor.tolist())}, dtype={tensor.dtype})"


def exact(tensor: torch.Tensor, vault: Vault) -> str:
    """An expression for a tensor of the same values: a constant, a range, a triangle of ones, a
    short list, or a reference to the payload."""
    value = tensor.detach().cpu()
    shape, dtype = _shape(value), value.dtype
    if value.numel() == 0:
        return f"torch.empty({shape}, dtype={dtype})"
    first = value.reshape(-1)[0]
    if not value.is_complex() and bool((value == first).all()):
        fill = first.item()
        fill = number(fill) if isinstance(fill, float) else repr(fill)
        return f"torch.full({shape}, {fill}, dtype={dtype})"
    if text := _prefix_mask(value):
        return text
    whole = not value.is_floating_point() and not value.is_complex() and dtype != torch.bool
    if value.numel() <= (EXACT_INTEGERS if whole else EXACT_ELEMENTS):
        text = _literal(value)
        return text if value.dim() == 1 else f"{text}.reshape({shape})"
    if dtype in (torch.int32, torch.int64) and value.dim() >= 1:
        flat = value.reshape(-1)
        start, step = int(flat[0]), int(flat[1] - flat[0])
        if step and torch.equal(flat, start + step * torch.arange(flat.numel(), dtype=dtype)):
            stop = start + step * flat.numel()
            return f"torch.arange({start}, {stop}, {step}, dtype={dtype}).reshape({shape})"
    if value.dim() >= 2 and not value.is_complex():
        ones = torch.ones_like(value)
        for name in ("tril", "triu"):
            for diagonal in (0, 1, -1):
                if torch.equal(value, getattr(ones, name)(diagonal)):
                    return f"torch.ones({shape}, dtype={dtype}).{name}({diagonal})"
    return vault.keep(value)


def _prefix_mask(value: torch.Tensor) -> str | None:
    """``arange < lengths`` for a boolean mask whose rows are true up to a length (padding)."""
    if value.dtype != torch.bool or value.dim() < 2 or value.numel() // value.shape[-1] > 512:
        return None
    lengths = value.sum(-1, keepdim=True)
    if not torch.equal(value, torch.arange(value.shape[-1]) < lengths):
        return None
    rows = f"torch.tensor({lengths.flatten().tolist()}).reshape({_shape(lengths)})"
    return f"torch.arange({value.shape[-1]}) < {rows}"


def drawn(tensor: torch.Tensor, vault: Vault) -> str:
    """An expression that draws a tensor of the same shape, dtype and distribution.

    Floats: uniform where the values look uniform, otherwise normal with the same mean and
    deviation, kept in the range where they are all positive or non-negative. Integers: uniform in
    the range seen. Booleans: the frequency seen. Exact values where a draw makes no sense:
    constants, sorted integers (offsets, positions), triangles, masks with infinities.
    """
    value = tensor.detach().cpu()
    shape, dtype = _shape(value), value.dtype
    if value.numel() == 0 or bool((value == value.reshape(-1)[0]).all()):
        return exact(value, vault)
    if dtype == torch.bool:
        text = exact(value, Vault())
        if value.numel() <= 1 or "tri" in text or "arange" in text:
            return text
        return f"torch.rand({shape}) < {_short(value.float().mean().item())}"
    if value.is_complex():
        return f"torch.randn({shape}, dtype={dtype}) * {_short(value.abs().std().item())}"
    if not value.is_floating_point():
        flat = value.reshape(-1).long()
        ordered = bool((flat.diff() >= 0).all()) and flat.numel() > 2
        rows = value.dim() > 1 and value.shape[-1] > 2
        if ordered or (rows and bool((value.long().diff(dim=-1) >= 0).all())):
            return exact(value, vault)
        return f"torch.randint({int(flat.min())}, {int(flat.max()) + 1}, {shape}, dtype={dtype})"
    if not bool(torch.isfinite(value).all()):
        return exact(value, vault)
    if value.dim() == 1 and value.numel() > 2 and bool((value.diff() > 0).all()):
        return exact(value, vault)  # a grid of positions or times
    low, high = value.min(), value.max()
    if value.numel() > 2 and bool(((value == low) | (value == high)).all()):
        text = exact(value, Vault())
        if "tri" in text:
            return text
        pick = f"torch.rand({shape}) < {_short((value == high).float().mean().item())}"
        return f"torch.where({pick}, {number(high.item())}, {number(low.item())}).to({dtype})"
    return _floats(value, shape)


def _floats(value: torch.Tensor, shape: str) -> str:
    wide = value.double()
    count = wide.numel()
    mean, low, high = wide.mean().item(), wide.min().item(), wide.max().item()
    std = wide.std().item() if count > 1 else abs(mean)
    # a uniform sample spans sqrt(12) deviations, a normal one of this size many more
    if count >= 64 and (high - low) / std < 3.7:
        unit = abs(low) < 0.05 and abs(high - 1) < 0.05
        text = f"torch.rand({shape})"
        if not unit:
            text += f" * {_short(high - low)} + {_short(low)}"
    else:
        standard = abs(mean) < 4 * std / math.sqrt(count) + 0.01 * std and abs(std - 1) < 0.1
        text = f"torch.randn({shape})"
        if low < 0 and not standard:
            text += f" * {_short(std)} + {_short(mean)}"
        elif low >= 0:
            limits = f"{_short(low)}, {_short(high)}"
            text = f"(torch.randn({shape}) * {_short(std)} + {_short(mean)}).clamp({limits})"
    if value.dtype != torch.float32:
        text = f"({text}).to({value.dtype})"
    return text


def laid_out(text: str, tensor: torch.Tensor) -> str:
    """``text`` in the memory layout of ``tensor``, where that is dense but not contiguous."""
    if tensor.is_contiguous():
        return text
    if tensor.dim() == 4 and tensor.is_contiguous(memory_format=torch.channels_last):
        return f"({text}).contiguous(memory_format=torch.channels_last)"
    order = sorted(range(tensor.dim()), key=lambda d: (-tensor.stride(d), d))
    if not tensor.permute(order).is_contiguous():
        return text
    inverse = [order.index(d) for d in range(tensor.dim())]
    return f"({text}).permute({tuple(order)}).contiguous().permute({tuple(inverse)})"


def argument(value: Any, vault: Vault, where: str) -> str:
    """An expression for one forward argument: tensors are drawn, Python values kept.

    Raises:
        TaskError: a value that source text cannot express.
    """
    if isinstance(value, torch.Tensor):
        text = laid_out(drawn(value, vault), value)
        return f"({text}).requires_grad_()" if value.requires_grad else text
    if isinstance(value, float):
        return number(value)
    if value is None or isinstance(value, bool | int | str | complex):
        return repr(value)
    if isinstance(value, torch.dtype):
        return str(value)
    if type(value) is dict:
        items = (f"{k!r}: {argument(v, vault, where)}" for k, v in value.items())
        return "{" + ", ".join(items) + "}"
    if type(value) in (list, tuple):
        items = ", ".join(argument(v, vault, where) for v in value)
        if isinstance(value, list):
            return f"[{items}]"
        return f"({items},)" if len(value) == 1 else f"({items})"
    raise TaskError(
        f"{where} is a {type(value).__name__}; want tensors, numbers, strings, None, and lists, "
        f"tuples or dictionaries of them"
    )
