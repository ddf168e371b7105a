"""Input shapes and constructor arguments as constants, for tables of layers over images."""

from typing import Any

EXTENTS = ((), ("length",), ("height", "width"), ("depth", "height", "width"))

Size = tuple[tuple[int, ...], tuple[Any, ...]]


def argument_names(signature: str) -> list[str]:
    return [name.strip() for name in signature.split(",")]


def constants(signature: str, size: Size) -> dict[str, Any]:
    """``size``: the input's shape and the constructor's values, of which the first is the
    number of channels (the last may have defaults).

    Raises:
        ValueError: the input has other channels than the constructor.
    """
    (batch_size, channels, *extents), values = size
    if values[0] != channels:
        raise ValueError(f"input of {channels} channels, constructor {values}")
    names = argument_names(signature)[: len(values)]
    return {
        "batch_size": batch_size,
        **dict(zip(EXTENTS[len(extents)], extents, strict=True)),
        **dict(zip(names, values, strict=True)),
    }


def uniform(signature: str, dimensions: int) -> str:
    """The input: uniform in (0, 1)."""
    first = argument_names(signature)[0]
    return f"torch.rand({', '.join(['batch_size', first, *EXTENTS[dimensions]])})"
