"""Gradients in the shape and strides of their arguments."""

from __future__ import annotations

import torch
from torch import Tensor


def in_layout_of(gradient: Tensor, like: Tensor) -> Tensor:
    """The gradient in the layout that autograd expects; zero for taps beyond the sequence."""
    if gradient.shape == like.shape and gradient.stride() == torch.empty_like(like).stride():
        return gradient
    whole = torch.empty_like(like)
    whole[..., gradient.shape[-1] :] = 0
    whole[..., : gradient.shape[-1]] = gradient
    return whole
