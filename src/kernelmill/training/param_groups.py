"""Parameter groups for an optimizer, with the options that single parameters ask for."""

from __future__ import annotations

from typing import Any

from torch import nn


def param_groups(model: nn.Module, lr: float, weight_decay: float = 0.0) -> list[dict[str, Any]]:
    """Groups of a model's parameters, for any PyTorch optimizer.

    A parameter's options are, each over the one before: ``lr`` and ``weight_decay`` as given; a
    weight decay of 0 where a module names it in ``no_weight_decay()``; those in its module's
    ``optim_options`` (layers of kernelmill); those in its attribute ``_optim`` (layers of the S4
    family).

    Args:
        model: whose parameters that require a gradient are grouped, shared ones once.
        lr, weight_decay: of all parameters that ask for nothing else.

    Returns:
        A group per distinct set of options, the given ones first; each with ``params``, ``lr``,
        ``weight_decay`` and whatever else was asked for.

    Raises:
        ValueError: no parameter requires a gradient.

    Example:
        >>> import torch
        >>> from kernelmill.nn import LongConv
        >>> model = LongConv(4, l_max=32, learning_rate=1e-3)
        >>> groups = param_groups(model, lr=1e-2, weight_decay=0.05)
        >>> [(len(g["params"]), g["lr"], g["weight_decay"]) for g in groups]
        [(3, 0.01, 0.05), (1, 0.001, 0.0)]
        >>> optimizer = torch.optim.AdamW(groups)
    """
    common = {"lr": lr, "weight_decay": weight_decay}
    options: dict[int, dict[str, Any]] = {}
    for module in model.modules():
        named = getattr(module, "no_weight_decay", None)
        if callable(named):
            mine = dict(module.named_parameters())
            for name in named():
                if name in mine:
                    options.setdefault(id(mine[name]), {})["weight_decay"] = 0.0
        for name, asked in module.__dict__.get("optim_options", {}).items():
            if name in module._parameters:
                options.setdefault(id(module._parameters[name]), {}).update(asked)

    groups: dict[tuple, dict[str, Any]] = {}
    default = tuple(sorted(common.items()))
    for parameter in model.parameters():
        if not parameter.requires_grad:
            continue
        asked = options.get(id(parameter), {}) | getattr(parameter, "_optim", {})
        settings = common | asked
        key = tuple(sorted(settings.items()))
        groups.setdefault(key, {"params": [], **settings})["params"].append(parameter)
    if not groups:
        raise ValueError("model: got no parameter that requires a gradient")
    return sorted(groups.values(), key=lambda group: tuple(
        sorted((k, v) for k, v in group.items() if k != "params")) != default)  # fmt: skip
