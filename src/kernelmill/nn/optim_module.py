"""Modules whose parameters want a learning rate or a weight decay of their own."""

from __future__ import annotations

from typing import Any

from torch import nn


class OptimModule(nn.Module):
    """Keeps optimizer options per parameter, for `kernelmill.training.param_groups`.

    They stand in ``optim_options``: {parameter's name: options}, and, for trainers of the S4
    family, as ``_optim`` on the parameter. PyTorch loses attributes of parameters in a deep copy,
    in a pickle and in ``to_empty``; here they are put back.
    """

    optim_options: dict[str, dict[str, Any]]

    def set_optim_options(self, name: str, **options: Any) -> None:
        """Options for the parameter ``name`` of this module, such as ``lr`` and ``weight_decay``;
        those that are None are left to the trainer."""
        mine = self.__dict__.setdefault("optim_options", {})
        mine[name] = {key: value for key, value in options.items() if value is not None}
        self._mark()

    def _mark(self) -> None:
        for name, options in self.__dict__.get("optim_options", {}).items():
            parameter = self._parameters.get(name)
            if parameter is not None:
                parameter._optim = dict(options)

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._mark()

    def _apply(self, *args: Any, **kwargs: Any) -> nn.Module:
        super()._apply(*args, **kwargs)
        self._mark()
        return self
