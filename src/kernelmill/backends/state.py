"""Parameters and buffers of a ``ModelNew`` that kernelmill makes around compiled code."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kernelmill.backends.base import BuildSpec


def add_state(module: Any, spec: BuildSpec) -> None:
    """Give ``module`` the parameters and buffers of ``spec``, zero until a state is loaded.
    Dotted names make nested modules, so that the state_dict has the reference's keys."""
    import torch

    for tensor in spec.state:
        *path, leaf = tensor.name.split(".")
        owner = module
        for part in path:
            if part not in owner._modules:
                owner.add_module(part, torch.nn.Module())
            owner = owner._modules[part]
        value = torch.zeros(tensor.shape, dtype=getattr(torch, tensor.dtype))
        if tensor.name in spec.parameters:
            floating = value.is_floating_point() or value.is_complex()
            owner.register_parameter(leaf, torch.nn.Parameter(value, requires_grad=floating))
        else:
            owner.register_buffer(leaf, value)


def state_reader(
    module: Any, spec: BuildSpec, parameters: bool = True, buffers: bool = True
) -> Callable[[], list[Any]]:
    """A function that returns the current tensors of the state, in the order of ``spec``."""
    places = []
    for tensor in spec.state:
        if (tensor.name in spec.parameters and parameters) or (
            tensor.name not in spec.parameters and buffers
        ):
            path, _, leaf = tensor.name.rpartition(".")
            places.append((module.get_submodule(path), leaf))
    return lambda: [getattr(owner, leaf) for owner, leaf in places]
